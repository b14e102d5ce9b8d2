// What every kernel of gpumux starts from: scalar names that are the same in CUDA C++ and in Rust,
// and loops over the grid. NVRTC has no standard headers, so nothing is included here.
#pragma once

using u8 = unsigned char;
using i32 = int;
using u32 = unsigned int;
using i64 = long long;
using u64 = unsigned long long;
using f32 = float;

// An array that a kernel takes by value: `[T; N]` in Rust.
template <typename T, int N>
struct Array {
    T at[N];
};

// This thread's place in the whole grid, along x.
__device__ __forceinline__ u64 grid_index() {
    return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Threads in the whole grid, along x: the stride of a loop that covers any number of items.
__device__ __forceinline__ u64 grid_stride() {
    return static_cast<u64>(gridDim.x) * blockDim.x;
}
