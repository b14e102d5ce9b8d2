// refused: suld.b
extern "C" __global__ void loaded(cudaSurfaceObject_t surface, float *out) {
  out[threadIdx.x] = surf1Dread<float>(surface, threadIdx.x * 4);
}
