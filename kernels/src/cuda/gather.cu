// Rows of a table by index. An index is a value that a peer sent: it is checked in its own width
// before it becomes an address.
#include "gpumux.cuh"

template <typename Index>
__device__ __forceinline__ void gather(
    const f32* __restrict__ table,
    const Index* __restrict__ indices,
    f32* output,
    u32* flags,
    u32 rows,
    u32 width,
    u32 count,
    u32 per_flag) {
    const u64 elements = static_cast<u64>(count) * width;
    for (u64 at = grid_index(); at < elements; at += grid_stride()) {
        const u32 place = static_cast<u32>(at / width);
        const u32 column = static_cast<u32>(at % width);
        i64 row = indices[place];
        // As in ONNX, a negative index counts from the end.
        if (row < 0) {
            row += rows;
        }
        if (row >= 0 && row < static_cast<i64>(rows)) {
            output[at] = table[static_cast<u64>(row) * width + column];
        } else {
            output[at] = 0.0f;
            flags[place / per_flag] = 1;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) gather_i64(
    const f32* __restrict__ table,
    const i64* __restrict__ indices,
    f32* output,
    u32* flags,
    u32 rows,
    u32 width,
    u32 count,
    u32 per_flag) {
    gather(table, indices, output, flags, rows, width, count, per_flag);
}

extern "C" __global__ void __launch_bounds__(256) gather_i32(
    const f32* __restrict__ table,
    const i32* __restrict__ indices,
    f32* output,
    u32* flags,
    u32 rows,
    u32 width,
    u32 count,
    u32 per_flag) {
    gather(table, indices, output, flags, rows, width, count, per_flag);
}
