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

// One side of a handshake between two lanes: says that it runs, then spins until the other side does.
// Both see the other only when they run at the same time. `outcome` becomes 1 then, and 2 when
// `wait_ns` went by first, so that it always ends. Both words may be the host's.
extern "C" __global__ void handshake(u32* mine, u32* theirs, u32* outcome, u64 wait_ns) {
    u64 start;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
    *reinterpret_cast<volatile u32*>(mine) = 1;
    __threadfence_system();
    u64 now = start;
    u32 seen = 0;
    while (seen == 0 && now - start < wait_ns) {
        seen = *reinterpret_cast<volatile u32*>(theirs);
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    }
    // Gone: whoever begins only now must not take this side for one that runs beside it.
    *reinterpret_cast<volatile u32*>(mine) = seen != 0 ? 1 : 0;
    __threadfence_system();
    *reinterpret_cast<volatile u32*>(outcome) = seen != 0 ? 1 : 2;
}
