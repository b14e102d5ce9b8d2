// refused: %envreg2
// What cooperative groups read to synchronise a grid.
extern "C" __global__ void all(unsigned *out) { asm("mov.u32 %0, %%envreg2;" : "=r"(out[threadIdx.x])); }
