// refused: cluster
extern "C" __global__ void together(int *out) {
  asm volatile("barrier.cluster.arrive;");
  asm volatile("barrier.cluster.wait;");
  out[threadIdx.x] = 1;
}
