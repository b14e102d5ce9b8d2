// Lanes of a warp that work together.

typedef unsigned u32;
typedef unsigned long long u64;

extern "C" __global__ void votes(u32 *out) {
  int i = threadIdx.x;
  u32 *r = out + i * 14;
  int p;
  r[0] = __ballot_sync(~0u, i % 3 == 0);
  r[1] = __all_sync(~0u, i < 40);
  r[2] = __any_sync(~0u, i == 40);
  r[3] = __match_any_sync(~0u, i / 5);
  r[4] = __match_any_sync(~0u, (u64)(i / 7) << 40);
  r[5] = __match_all_sync(~0u, i / 32, &p);
  r[6] = p;
  r[7] = __match_all_sync(~0u, 1.5 * i, &p);
  r[8] = p;
  asm volatile("{\n\t.reg .pred p, q;\n\tsetp.lt.s32 p, %1, 16;\n\tvote.sync.uni.pred q, p, 0xffffffff;\n\tselp.b32 %0, 1, 0, q;\n\t}"
               : "=r"(r[9]) : "r"(i));
  asm("mov.u32 %0, %%laneid;" : "=r"(r[10]));
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(r[11]));
  asm("mov.u32 %0, %%lanemask_ge;" : "=r"(r[12]));
  asm("mov.u32 %0, %%warpid;" : "=r"(r[13]));
}

extern "C" __global__ void shuffles(u64 *out) {
  int i = threadIdx.x;
  u64 *r = out + i * 10;
  r[0] = (u32)__shfl_sync(~0u, i * 5, i ^ 9);
  r[1] = (u32)__shfl_up_sync(~0u, i * 5, 3);
  r[2] = (u32)__shfl_down_sync(~0u, i * 5, i & 3, 16);
  r[3] = (u32)__shfl_xor_sync(~0u, i * 5, 13, 8);
  r[4] = __shfl_sync(~0u, (u64)i << 33 | 7, i + 1);
  r[5] = __float_as_uint(__shfl_xor_sync(~0u, (float)i, 16));
  r[6] = __double_as_longlong(__shfl_down_sync(~0u, (double)i, 1));
  r[7] = 0;
  // Each branch is a rendezvous of its own members.
  if (i & 1) {
    r[7] = (u32)__shfl_sync(0xaaaaaaaa, i, i ^ 2);
    if (i & 2) r[7] += __shfl_xor_sync(0x88888888, i, 4) * 100;
  } else {
    r[7] = (u32)__shfl_sync(0x55555555, i, i ^ 4);
    for (int k = 2; k <= (i & 12); k += 2) r[7] += __popc(__ballot_sync(0x55555555u & __activemask(), 1)) > 0;
  }
  __syncwarp();
  int x = i;
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(~0u, x, o);
  r[8] = (u32)x;
  u32 sent, found;
  asm volatile("{\n\t.reg .pred p;\n\tshfl.sync.up.b32 %0|p, %2, 4, 0, 0xffffffff;\n\tselp.b32 %1, 1, 0, p;\n\t}"
               : "=r"(sent), "=r"(found) : "r"(i));
  r[9] = (u64)found << 32 | sent;
}

extern "C" __global__ void reductions(u32 *out) {
  int i = threadIdx.x;
  u32 *r = out + i * 8;
#if __CUDA_ARCH__ >= 800
  r[0] = __reduce_add_sync(~0u, i * 77777777);
  r[1] = __reduce_min_sync(~0u, (u32)i * 77777777);
  r[2] = __reduce_max_sync(~0u, (u32)i * 77777777);
  r[3] = __reduce_min_sync(~0u, i * 77777777);
  r[4] = __reduce_max_sync(~0u, i * 77777777);
  r[5] = __reduce_and_sync(~0u, ~(1u << (i & 31)) | 0xf0);
  r[6] = __reduce_or_sync(~0u, 1u << (i & 15));
  r[7] = __reduce_xor_sync(~0u, (u32)i * 77777777);
#else
  for (int k = 0; k < 8; k++) r[k] = 0xdead;
#endif
}

// Lanes leave the loop one after the other; those that stay are the active ones.
extern "C" __global__ void leaving(u32 *out) {
  int i = threadIdx.x;
  u32 mask = 0, rounds = 0;
  for (int k = 0; k <= (i & 7); k++) {
    mask = __activemask();
    rounds += __popc(mask & (1u << (i & 31)));
  }
  out[i * 2] = mask >> (i & 31) & 1;
  out[i * 2 + 1] = rounds;
}
