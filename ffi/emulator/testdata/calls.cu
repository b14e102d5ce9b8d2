// Functions that the compiler does not inline, recursion, assertions.

__device__ __noinline__ float grow(float a, int n) {
  float r = a;
  for (int i = 0; i < n; i++) r = r * 1.5f + a;
  return r;
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__device__ __noinline__ int sum_of_lanes(int x) {
  __syncthreads();
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(~0u, x, o);
  return x + threadIdx.x;
}

extern "C" __global__ void calls(float *out, int n) {
  out[threadIdx.x] = grow(out[threadIdx.x], n) + fibonacci(n) + sum_of_lanes(threadIdx.x);
}

extern "C" __global__ void deep(int *out, int n) { out[threadIdx.x] = fibonacci(n); }

extern "C" __device__ void __assertfail(const char *, const char *, unsigned, const char *, size_t);

extern "C" __global__ void asserts(int *out, int n) {
  if (threadIdx.x == n) __assertfail("n", "calls.cu", 1, "asserts", 1);
  out[threadIdx.x] = 1;
}
