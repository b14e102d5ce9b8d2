// Threads of a block that wait for each other and share memory.

typedef unsigned u32;

extern "C" __global__ void barriers(u32 *out) {
  int i = threadIdx.x;
  u32 *r = out + i * 5;
  __shared__ u32 shared[128];
  shared[i] = i * i;
  __syncthreads();
  r[0] = shared[blockDim.x - 1 - i];
  r[1] = __syncthreads_count(i % 3 == 0);
  r[2] = __syncthreads_and(i < 1000);
  r[3] = __syncthreads_or(i == 77);
  // Half of the threads hand their work over through a barrier with a count.
  if (i < 64) {
    shared[i] = i + 500;
    asm volatile("bar.arrive 1, 128;" ::: "memory");
    r[4] = 0;
  } else {
    asm volatile("bar.sync 1, 128;" ::: "memory");
    r[4] = shared[i - 64];
  }
}

extern "C" __global__ void dynamic(const u32 *in, u32 *out) {
  extern __shared__ double grown[];
  u32 *words = (u32 *)grown;
  int i = threadIdx.x;
  words[i] = in[i];
  __syncthreads();
  for (u32 step = 1; step < blockDim.x; step *= 2) {
    u32 x = i >= step ? words[i - step] : 0;
    __syncthreads();
    words[i] += x;
    __syncthreads();
  }
  out[i] = words[i];
}

extern "C" __global__ void transposed(const float *in, float *out) {
  __shared__ float tile[8][9];
  int x = threadIdx.x, y = threadIdx.y;
  tile[y][x] = in[y * 8 + x];
  __syncthreads();
  out[y * 8 + x] = tile[x][y] + 1000 * threadIdx.z + blockDim.z;
}

extern "C" __global__ void __launch_bounds__(128, 2) where(u32 *out) {
  int i = threadIdx.x + blockIdx.x * blockDim.x;
  u32 *r = out + i * 4;
  r[0] = blockIdx.x * 1000 + gridDim.x;
  r[1] = blockDim.x * 1000 + warpSize;
  asm("mov.u32 %0, %%nsmid;" : "=r"(r[2]));
  asm("mov.u32 %0, %%nctaid.y;" : "=r"(r[3]));
}
