// What a lane needs besides models: a mark that its work has retired, and a proof of where it runs.
#include "gpumux.cuh"

// The fence orders the store after everything that this thread could have seen, for the host too;
// the lane has ordered the work before this launch.
extern "C" __global__ void retire(u32* word, u32 sequence) {
    __threadfence_system();
    *reinterpret_cast<volatile u32*>(word) = sequence;
}

// Each block stays for `hold_cycles`, so that a device fills all the SMs that the lane has.
extern "C" __global__ void smid_probe(u32* __restrict__ sm, u64 hold_cycles) {
    const u64 start = clock64();
    if (threadIdx.x == 0) {
        u32 here;
        asm volatile("mov.u32 %0, %%smid;" : "=r"(here));
        sm[blockIdx.x] = here;
    }
    while (static_cast<u64>(clock64()) - start < hold_cycles) {
    }
}
