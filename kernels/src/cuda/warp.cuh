// A warp that works on one row together.
#pragma once
#include "gpumux.cuh"

constexpr u32 WARP = 32;
constexpr u32 ALL = 0xffffffffu;

// This warp's place among all warps of the grid, and how many there are.
__device__ __forceinline__ u32 warp_index() {
    return static_cast<u32>(grid_index() / WARP);
}

__device__ __forceinline__ u32 warp_stride() {
    return static_cast<u32>(grid_stride() / WARP);
}

// This thread's place in its warp.
__device__ __forceinline__ u32 warp_lane() {
    return threadIdx.x % WARP;
}

// The sum over the warp, in every thread of it.
__device__ __forceinline__ f32 warp_sum(f32 value) {
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(ALL, value, distance);
    }
    return value;
}

// Greater than every number.
__device__ __forceinline__ f32 infinity() {
    return __int_as_float(0x7f800000);
}

// The greater of two; a NaN on either side is the result.
__device__ __forceinline__ f32 maximum(f32 a, f32 b) {
    return a > b || a != a ? a : b;
}

// The lesser of two; a NaN on either side is the result.
__device__ __forceinline__ f32 minimum(f32 a, f32 b) {
    return a < b || a != a ? a : b;
}

__device__ __forceinline__ f32 warp_maximum(f32 value) {
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) {
        value = maximum(value, __shfl_xor_sync(ALL, value, distance));
    }
    return value;
}

__device__ __forceinline__ f32 warp_minimum(f32 value) {
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) {
        value = minimum(value, __shfl_xor_sync(ALL, value, distance));
    }
    return value;
}

// Dimensions around a row.
constexpr u32 OUTER = 5;

// Where row `row` begins: its index along each dimension, the last one fastest, times a stride.
__device__ __forceinline__ u32 row_begin(
    u32 row, const Array<u32, OUTER>& extents, const Array<u32, OUTER>& strides) {
    u32 begin = 0;
#pragma unroll
    for (u32 from_last = 0; from_last < OUTER; ++from_last) {
        const u32 axis = OUTER - 1 - from_last;
        begin += row % extents.at[axis] * strides.at[axis];
        row /= extents.at[axis];
    }
    return begin;
}
