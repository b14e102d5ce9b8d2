// Threads of a block that work together: barriers, shared memory, shuffles.

__device__ __forceinline__ float warp_sum(float x) {
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(~0u, x, o);
  return x;
}

__device__ __forceinline__ float block_sum(float x, float *partial) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
  x = warp_sum(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  if (warp == 0) {
    x = warp_sum(lane < warps ? partial[lane] : 0.0f);
    if (lane == 0) partial[0] = x;
  }
  __syncthreads();
  x = partial[0];
  __syncthreads();
  return x;
}

extern "C" __global__ void softmax(const float *in, float *out, int columns) {
  __shared__ float partial[32];
  const float *row = in + (long long)blockIdx.x * columns;
  float sum = 0.0f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(row[i]);
  sum = block_sum(sum, partial);
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    out[(long long)blockIdx.x * columns + i] = expf(row[i]) / sum;
}

extern "C" __global__ void layer_norm(const float *in, const float *gain, const float *bias,
                                      float *out, int columns, float epsilon) {
  __shared__ float partial[32];
  const float *row = in + (long long)blockIdx.x * columns;
  float sum = 0.0f, squares = 0.0f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += row[i];
  float mean = block_sum(sum, partial) / columns;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    float d = row[i] - mean;
    squares += d * d;
  }
  float scale = rsqrtf(block_sum(squares, partial) / columns + epsilon);
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    out[(long long)blockIdx.x * columns + i] = (row[i] - mean) * scale * gain[i] + bias[i];
}

extern "C" __global__ void transpose(const float *in, float *out, int rows, int columns) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  y = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
}

extern "C" __global__ void product(const float *a, const float *b, float *c, int n) {
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

extern "C" __global__ void histogram(const int *in, unsigned *counts, int n) {
  __shared__ unsigned local[64];
  if (threadIdx.x < 64) local[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[in[i] & 63], 1u);
  __syncthreads();
  if (threadIdx.x < 64) atomicAdd(counts + threadIdx.x, local[threadIdx.x]);
}

extern "C" __global__ void reverse(int *data) {
  extern __shared__ int copy[];
  copy[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void reductions(int *out, int k) {
  int i = threadIdx.x;
  out[i * 3] = __syncthreads_count(i < k);
  out[i * 3 + 1] = __syncthreads_and(i < k);
  out[i * 3 + 2] = __syncthreads_or(i == k);
}

// The last thread leaves before the barrier; the others must not wait for it.
extern "C" __global__ void early_exit(int *out) {
  if (threadIdx.x == blockDim.x - 1) return;
  __shared__ int sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  out[threadIdx.x] = sum;
}

// One thread waits in a loop for what another writes, without a barrier.
extern "C" __global__ void hand_over(int *out) {
  __shared__ volatile int flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    while (flag == 0) {}
    out[0] = flag;
  } else if (threadIdx.x == 40) {
    flag = 7;
  }
}
