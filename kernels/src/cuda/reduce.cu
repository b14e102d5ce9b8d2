// Reductions of one dimension, in two ways: a warp for each result where the elements that are
// reduced lie side by side, a thread for each where those of neighbouring results do.
#include "warp.cuh"

// The numbers of `Reduction` in `rows.rs`.
constexpr u32 SUM = 0;
constexpr u32 SUM_OF_SQUARES = 1;
constexpr u32 MAXIMUM = 2;
constexpr u32 MINIMUM = 3;

__device__ __forceinline__ f32 first_of(u32 reduction) {
    if (reduction == MAXIMUM) {
        return -infinity();
    }
    return reduction == MINIMUM ? infinity() : 0.0f;
}

__device__ __forceinline__ f32 with(u32 reduction, f32 so_far, f32 value) {
    switch (reduction) {
        case SUM:
            return so_far + value;
        case SUM_OF_SQUARES:
            return so_far + value * value;
        case MAXIMUM:
            return maximum(so_far, value);
        default:
            return minimum(so_far, value);
    }
}

extern "C" __global__ void __launch_bounds__(128) reduce_rows(
    const f32* __restrict__ input,
    f32* output,
    u32 rows,
    u32 width,
    u32 stride,
    u32 reduction,
    f32 scale,
    Array<u32, 5> extents,
    Array<u32, 5> strides) {
    for (u32 row = warp_index(); row < rows; row += warp_stride()) {
        const f32* own = input + row_begin(row, extents, strides);
        f32 so_far = first_of(reduction);
        for (u32 at = warp_lane(); at < width; at += WARP) {
            so_far = with(reduction, so_far, own[static_cast<u64>(at) * stride]);
        }
        if (reduction == MAXIMUM) {
            so_far = warp_maximum(so_far);
        } else if (reduction == MINIMUM) {
            so_far = warp_minimum(so_far);
        } else {
            so_far = warp_sum(so_far);
        }
        if (warp_lane() == 0) {
            output[row] = so_far * scale;
        }
    }
}

extern "C" __global__ void __launch_bounds__(128) reduce_columns(
    const f32* __restrict__ input,
    f32* output,
    u32 rows,
    u32 width,
    u32 stride,
    u32 reduction,
    f32 scale,
    Array<u32, 5> extents,
    Array<u32, 5> strides) {
    for (u32 row = static_cast<u32>(grid_index()); row < rows;
         row += static_cast<u32>(grid_stride())) {
        const f32* own = input + row_begin(row, extents, strides);
        f32 so_far = first_of(reduction);
        for (u32 at = 0; at < width; ++at) {
            so_far = with(reduction, so_far, own[static_cast<u64>(at) * stride]);
        }
        output[row] = so_far * scale;
    }
}
