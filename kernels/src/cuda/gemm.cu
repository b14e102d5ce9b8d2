// The matrix product of hosts that have no cublasLt.
#include "gpumux.cuh"

// A block computes TILE by TILE results, a thread SIDE by SIDE of them, DEPTH terms at a time.
constexpr u32 TILE = 64;
constexpr u32 DEPTH = 16;
constexpr u32 SIDE = 4;
constexpr u32 THREADS = (TILE / SIDE) * (TILE / SIDE);

// Fills a DEPTH by TILE slice of an operand: `across` counts along the tile, `along` along the sum.
// Beyond the matrix there are zeros, which add nothing.
__device__ __forceinline__ void load_slice(
    f32 (&slice)[DEPTH][TILE],
    const f32* __restrict__ matrix,
    u32 across_begin,
    u32 across_end,
    u64 across_stride,
    u32 along_begin,
    u32 along_end,
    u64 along_stride) {
    for (u32 at = threadIdx.x; at < DEPTH * TILE; at += THREADS) {
        // Neighbouring threads take neighbouring addresses, whichever way the matrix lies.
        const u32 d = along_stride == 1 ? at % DEPTH : at / TILE;
        const u32 t = along_stride == 1 ? at / DEPTH : at % TILE;
        const u32 across = across_begin + t;
        const u32 along = along_begin + d;
        const bool inside = across < across_end && along < along_end;
        slice[d][t] = inside ? matrix[across * across_stride + along * along_stride] : 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(256) gemm(
    const f32* __restrict__ a,
    const f32* __restrict__ b,
    f32* c,
    const f32* __restrict__ bias,
    u64 a_batch_stride,
    u64 b_batch_stride,
    u64 c_batch_stride,
    u32 m,
    u32 n,
    u32 k,
    u32 batches,
    u32 a_row_stride,
    u32 a_column_stride,
    u32 b_row_stride,
    u32 b_column_stride,
    u32 c_row_stride,
    f32 alpha,
    f32 beta) {
    __shared__ f32 a_slice[DEPTH][TILE];
    __shared__ f32 b_slice[DEPTH][TILE];
    const u32 column = blockIdx.x * TILE;
    const u32 x = threadIdx.x % (TILE / SIDE) * SIDE;
    const u32 y = threadIdx.x / (TILE / SIDE) * SIDE;

    for (u32 batch = blockIdx.z; batch < batches; batch += gridDim.z) {
        const f32* a_batch = a + batch * a_batch_stride;
        const f32* b_batch = b + batch * b_batch_stride;
        f32* c_batch = c + batch * c_batch_stride;
        for (u32 row = blockIdx.y * TILE; row < m; row += gridDim.y * TILE) {
            f32 sum[SIDE][SIDE] = {};
            for (u32 depth = 0; depth < k; depth += DEPTH) {
                load_slice(a_slice, a_batch, row, m, a_row_stride, depth, k, a_column_stride);
                load_slice(b_slice, b_batch, column, n, b_column_stride, depth, k, b_row_stride);
                __syncthreads();
#pragma unroll
                for (u32 d = 0; d < DEPTH; d++) {
#pragma unroll
                    for (u32 i = 0; i < SIDE; i++) {
#pragma unroll
                        for (u32 j = 0; j < SIDE; j++) {
                            sum[i][j] += a_slice[d][y + i] * b_slice[d][x + j];
                        }
                    }
                }
                __syncthreads();
            }
#pragma unroll
            for (u32 i = 0; i < SIDE; i++) {
#pragma unroll
                for (u32 j = 0; j < SIDE; j++) {
                    if (row + y + i >= m || column + x + j >= n) {
                        continue;
                    }
                    f32* result = c_batch + static_cast<u64>(row + y + i) * c_row_stride + column + x + j;
                    f32 value = alpha * sum[i][j];
                    if (beta != 0.0f) {
                        value += beta * *result;
                    }
                    if (bias != nullptr) {
                        value += bias[column + x + j];
                    }
                    *result = value;
                }
            }
        }
    }
}
