// Kernels whose speed on the emulator is measured: each leans on another part of it.

extern "C" __global__ void empty() {}

extern "C" __global__ void vadd(const float *a, const float *b, float *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = a[i] + b[i];
}

extern "C" __global__ void gelu(const float *in, float *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = in[i];
  out[i] = 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}

// Tiles of 16 by 16 in shared memory; n is a multiple of 16.
extern "C" __global__ void sgemm(const float *a, const float *b, float *c, int n) {
  __shared__ float left[16][16], right[16][16];
  int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
  float sum = 0.0f;
  for (int k = 0; k < n; k += 16) {
    left[y][x] = a[row * n + k + x];
    right[y][x] = b[(k + y) * n + column];
    __syncthreads();
    for (int q = 0; q < 16; q++) sum += left[y][q] * right[q][x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

__device__ __forceinline__ float warp_sum(float x) {
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(~0u, x, o);
  return x;
}

// The sum of each 32 elements, by five shuffles a thread.
extern "C" __global__ void warp_reduce(const float *in, float *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = warp_sum(i < n ? in[i] : 0.0f);
  if ((threadIdx.x & 31) == 0) out[i >> 5] = sum;
}

// Sixteen barriers and nothing else.
extern "C" __global__ void barriers(int *out) {
  for (int i = 0; i < 16; i++) __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = 16;
}

// A row a block; the extremes and the sums go through a tree in shared memory, a barrier a level.
extern "C" __global__ void softmax(const float *in, float *out, int columns) {
  __shared__ float tree[256];
  int t = threadIdx.x;
  const float *row = in + (long long)blockIdx.x * columns;
  float most = -3.4e38f;
  for (int i = t; i < columns; i += 256) most = fmaxf(most, row[i]);
  tree[t] = most;
  __syncthreads();
  for (int half = 128; half; half >>= 1) {
    if (t < half) tree[t] = fmaxf(tree[t], tree[t + half]);
    __syncthreads();
  }
  most = tree[0];
  __syncthreads();
  float sum = 0.0f;
  for (int i = t; i < columns; i += 256) sum += expf(row[i] - most);
  tree[t] = sum;
  __syncthreads();
  for (int half = 128; half; half >>= 1) {
    if (t < half) tree[t] += tree[t + half];
    __syncthreads();
  }
  sum = tree[0];
  for (int i = t; i < columns; i += 256)
    out[(long long)blockIdx.x * columns + i] = expf(row[i] - most) / sum;
}

__device__ __forceinline__ float block_sum(float x, float *partial) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  x = warp_sum(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  x = warp_sum(lane < warps ? partial[lane] : 0.0f);
  __syncthreads();
  return x;
}

extern "C" __global__ void layernorm(const float *in, const float *gain, const float *bias, float *out,
                                     int columns) {
  __shared__ float partial[32];
  long long start = (long long)blockIdx.x * columns;
  float sum = 0.0f, squares = 0.0f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += in[start + i];
  float mean = block_sum(sum, partial) / columns;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    float d = in[start + i] - mean;
    squares += d * d;
  }
  float scale = rsqrtf(block_sum(squares, partial) / columns + 1e-5f);
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    out[start + i] = (in[start + i] - mean) * scale * gain[i] + bias[i];
}

extern "C" __global__ void histogram(const unsigned *in, unsigned *counts, int n) {
  __shared__ unsigned local[256];
  local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[in[i] & 255], 1u);
  __syncthreads();
  atomicAdd(counts + threadIdx.x, local[threadIdx.x]);
}
