// refused: cp.async
#if __CUDA_ARCH__ >= 800
#include <cuda_pipeline.h>
#endif
extern "C" __global__ void copied(const int4 *in, int4 *out) {
  __shared__ int4 tile[32];
#if __CUDA_ARCH__ >= 800
  __pipeline_memcpy_async(&tile[threadIdx.x], in + threadIdx.x, 16);
  __pipeline_commit();
  __pipeline_wait_prior(0);
#else
  asm volatile("cp.async.wait_all;");
#endif
  out[threadIdx.x] = tile[threadIdx.x];
}
