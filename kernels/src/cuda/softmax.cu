// Softmax over rows that lie one after the other, a warp for each row.
#include "warp.cuh"

extern "C" __global__ void __launch_bounds__(128) masked_softmax(
    const f32* __restrict__ input,
    const f32* __restrict__ mask,
    f32* output,
    u32 rows,
    u32 width,
    f32 scale,
    u32 mask_stride,
    Array<u32, 5> extents,
    Array<u32, 5> mask_strides) {
    for (u32 row = warp_index(); row < rows; row += warp_stride()) {
        const u64 begin = static_cast<u64>(row) * width;
        const f32* own = input + begin;
        f32* to = output + begin;
        const f32* added = mask;
        if (mask != nullptr) {
            added += row_begin(row, extents, mask_strides);
        }
        // Scores are kept where the result goes: each thread comes back to its own elements only.
        f32 greatest = -infinity();
        for (u32 at = warp_lane(); at < width; at += WARP) {
            f32 score = own[at] * scale;
            if (mask != nullptr) {
                score += added[at * mask_stride];
            }
            to[at] = score;
            greatest = maximum(greatest, score);
        }
        greatest = warp_maximum(greatest);
        f32 sum = 0.0f;
        for (u32 at = warp_lane(); at < width; at += WARP) {
            const f32 share = expf(to[at] - greatest);
            to[at] = share;
            sum += share;
        }
        sum = warp_sum(sum);
        for (u32 at = warp_lane(); at < width; at += WARP) {
            to[at] /= sum;
        }
    }
}
