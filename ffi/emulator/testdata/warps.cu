// Lanes of a warp that work together, also where they have diverged.

extern "C" __global__ void votes(unsigned *out, int k) {
  int i = threadIdx.x;
  out[i * 4] = __ballot_sync(~0u, i & 1);
  out[i * 4 + 1] = __all_sync(~0u, i < k);
  out[i * 4 + 2] = __any_sync(~0u, i == k);
  out[i * 4 + 3] = __match_any_sync(~0u, i >> 2);
}

extern "C" __global__ void divergent(int *out) {
  int i = threadIdx.x;
  int x;
  if (i < 8)
    x = __shfl_sync(0xff, i * 3, 7 - i);
  else if (i & 1)
    x = __shfl_up_sync(0xaaaaaa00, i, 2);
  else
    x = __shfl_down_sync(0x55555500, i, 2);
  __syncwarp();
  out[i] = x;
}

extern "C" __global__ void active(unsigned *out) {
  int i = threadIdx.x;
  unsigned mask;
  if (i & 2)
    mask = __activemask();
  else
    mask = ~__activemask();
  out[i] = mask;
}

extern "C" __global__ void segments(int *out) {
  int i = threadIdx.x;
  out[i * 4] = __shfl_down_sync(~0u, i, 3, 8);
  out[i * 4 + 1] = __shfl_up_sync(~0u, i, 1, 16);
  out[i * 4 + 2] = __shfl_xor_sync(~0u, i, 5, 8);
  out[i * 4 + 3] = __shfl_sync(~0u, i, 2, 4);
}

// Each loop round has fewer lanes.
extern "C" __global__ void shrinking(int *out) {
  int i = threadIdx.x, sum = 0;
  for (int round = 0; round < i; round++) {
    unsigned mask = ~0u << (round + 1);
    sum += __popc(__ballot_sync(mask, 1));
  }
  out[i] = sum;
}
