// `builtin:echo`: what goes in comes out.
#include "gpumux.cuh"

// Both blocks are aligned to 16 bytes, so all but the last bytes go in words of 16.
extern "C" __global__ void echo(const u8* __restrict__ input, u8* __restrict__ output, u64 bytes) {
    const u64 words = bytes / sizeof(uint4);
    const uint4* from = reinterpret_cast<const uint4*>(input);
    uint4* to = reinterpret_cast<uint4*>(output);
    for (u64 at = grid_index(); at < words; at += grid_stride()) {
        to[at] = from[at];
    }
    for (u64 at = words * sizeof(uint4) + grid_index(); at < bytes; at += grid_stride()) {
        output[at] = input[at];
    }
}
