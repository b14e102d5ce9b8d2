// Layer normalisation, a warp for each row.
#include "warp.cuh"

extern "C" __global__ void __launch_bounds__(128) layer_norm(
    const f32* __restrict__ input,
    const f32* __restrict__ residual,
    const f32* __restrict__ weight,
    const f32* __restrict__ bias,
    f32* output,
    u32 rows,
    u32 width,
    f32 epsilon) {
    for (u32 row = warp_index(); row < rows; row += warp_stride()) {
        const u64 begin = static_cast<u64>(row) * width;
        const f32* own = input + begin;
        f32* to = output + begin;
        // The sum is kept where the result goes: each thread comes back to its own elements only.
        f32 sum = 0.0f;
        for (u32 at = warp_lane(); at < width; at += WARP) {
            f32 value = own[at];
            if (residual != nullptr) {
                value += residual[begin + at];
            }
            to[at] = value;
            sum += value;
        }
        const f32 mean = warp_sum(sum) / static_cast<f32>(width);
        f32 squares = 0.0f;
        for (u32 at = warp_lane(); at < width; at += WARP) {
            const f32 difference = to[at] - mean;
            squares += difference * difference;
        }
        const f32 variance = warp_sum(squares) / static_cast<f32>(width);
        const f32 scale = 1.0f / sqrtf(variance + epsilon);
        for (u32 at = warp_lane(); at < width; at += WARP) {
            to[at] = (to[at] - mean) * scale * weight[at] + bias[at];
        }
    }
}
