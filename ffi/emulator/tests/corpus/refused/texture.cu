// refused: tex.2d
extern "C" __global__ void sampled(cudaTextureObject_t texture, float *out) {
  out[threadIdx.x] = tex2D<float>(texture, threadIdx.x, 0.5f);
}
