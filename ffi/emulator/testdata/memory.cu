// The memories of a device, and what goes wrong with them.

extern "C" __global__ void vectors(const float4 *a, float4 *b, const uchar4 *c, uchar4 *d,
                                   const short2 *e, int4 *f, const double2 *g, double2 *h) {
  int i = threadIdx.x;
  float4 v = a[i];
  v.x += 1.0f;
  v.w = __ldg(a + i).y;
  b[i] = v;
  uchar4 q = c[i];
  q.x += q.y;
  d[i] = q;
  short2 s = e[i];
  f[i] = make_int4(s.x, s.y, s.x + s.y, -1);
  double2 z = g[i];
  z.x += z.y;
  h[i] = z;
}

extern "C" __global__ void local_array(int *out, int n) {
  int t[64];
  for (int i = 0; i < 64; i++) t[i] = i * n;
  for (int i = 0; i < n; i++) t[(i * 7 + threadIdx.x) & 63] += t[(i * 3) & 63];
  out[threadIdx.x] = t[n & 63];
}

struct Shape {
  long long sizes[6];
  int n;
  float k;
  short q;
};

extern "C" __global__ void structure(Shape shape, float *out, int from) {
  int i = threadIdx.x;
  if (i < shape.n) out[i] = shape.k * shape.sizes[(from + i) % 6] + shape.q;
}

__constant__ float table[4] = {1.0f, 2.0f, 3.0f, 4.0f};
__constant__ float blank[8];
__device__ int counter = 7;
__device__ int *pointer = &counter;

extern "C" __global__ void variables(float *out) {
  out[threadIdx.x] = table[threadIdx.x & 3] + blank[threadIdx.x & 7];
  if (threadIdx.x == 0) atomicAdd(pointer, 1);
}

extern "C" __global__ void generic(int *out, int k) {
  __shared__ int shared[32];
  int local[4] = {1, 2, 3, k};
  int *p = k > 0 ? shared : (k < -5 ? local : out + 64);
  shared[threadIdx.x] = k;
  __syncthreads();
  if (threadIdx.x < 4) p[threadIdx.x] += 3;
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x] + local[threadIdx.x & 3];
}

extern "C" __global__ void gather(const float *rows, const long long *index, float *out, long long count,
                                  long long width, unsigned *flag) {
  long long k = index[blockIdx.x];
  if (k < 0) k += count;
  if (k < 0 || k >= count) {
    if (threadIdx.x == 0) atomicOr(flag, 1u);
    return;
  }
  for (long long i = threadIdx.x; i < width; i += blockDim.x)
    out[blockIdx.x * width + i] = rows[k * width + i];
}

extern "C" __global__ void unroll_image(const float *in, float *out, int height, int width, int kernel,
                                        int pad) {
  int columns = height * width, rows = kernel * kernel;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < rows * columns; i += gridDim.x * blockDim.x) {
    int r = i / columns, c = i % columns;
    int y = c / width + r / kernel - pad, x = c % width + r % kernel - pad;
    out[i] = y >= 0 && y < height && x >= 0 && x < width ? in[y * width + x] : 0.0f;
  }
}

extern "C" __global__ void store_at(int *address, int value) { *address = value; }

extern "C" __global__ void store_shared(int index) {
  __shared__ int values[16];
  ((volatile int *)values)[index] = 1;
}

extern "C" __global__ void endless(volatile int *flag) {
  while (*flag == 0) {}
}

extern "C" __global__ void trap_at(int *out, int n) {
  if (threadIdx.x == n) __trap();
  out[threadIdx.x] = 1;
}

extern "C" __global__ void special(unsigned *out, unsigned long long *times) {
  unsigned sm, sms, lane, warp;
  unsigned long long timer;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
  asm volatile("mov.u32 %0, %%nsmid;" : "=r"(sms));
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  asm volatile("mov.u32 %0, %%warpid;" : "=r"(warp));
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(timer));
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  long long start = clock64();
  while (clock64() - start < 100) {}
  out[i * 4] = sm;
  out[i * 4 + 1] = sms;
  out[i * 4 + 2] = lane;
  out[i * 4 + 3] = warp;
  times[i] = timer;
}
