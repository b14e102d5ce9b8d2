// Atomics of all widths and kinds.

typedef unsigned u32;
typedef unsigned long long u64;
typedef unsigned short u16;

extern "C" __global__ void words(u32 *u, int *s, u32 *seen) {
  int i = threadIdx.x;
  atomicAdd(u, i);
  atomicSub(u + 1, i);
  atomicMin(u + 2, (u32)i * 3 + 5);
  atomicMax(u + 3, (u32)i * 3 + 5);
  atomicAnd(u + 4, ~(1u << (i & 15)));
  atomicOr(u + 5, 1u << (i & 15));
  atomicXor(u + 6, 1u << (i & 15));
  atomicInc(u + 7, 9);
  atomicDec(u + 8, 9);
  atomicMin(s, i - 7);
  atomicMax(s + 1, i - 7);
  atomicAdd_block(u + 9, 1);
  atomicAdd_system(u + 10, 2);
  seen[i] = atomicAdd(u + 11, 1);
  seen[64 + i] = atomicExch(u + 12, i + 1);
  // Adds by compare and exchange.
  u32 old = u[13], assumed;
  do {
    assumed = old;
    old = atomicCAS(u + 13, assumed, assumed + i);
  } while (old != assumed);
  // The lower and the upper half of a word.
  u16 *half = (u16 *)(u + 14) + (i & 1);
  u16 was = *(volatile u16 *)half, expected;
  do {
    expected = was;
    was = atomicCAS(half, expected, (u16)(expected + 3));
  } while (was != expected);
  atomicAdd((float *)(u + 15), 0.5f);
}

extern "C" __global__ void longs(u64 *u, long long *s, u64 *seen) {
  int i = threadIdx.x;
  u64 big = (u64)i << 33;
  atomicAdd(u, big);
  atomicMin(u + 1, big + 5);
  atomicMax(u + 2, big + 5);
  atomicAnd(u + 3, ~(1ull << (i & 63)));
  atomicOr(u + 4, 1ull << (i & 63));
  atomicXor(u + 5, 3ull << (i & 31));
  atomicMin(s, (long long)big - 7);
  atomicMax(s + 1, (long long)big - 7);
  seen[i] = atomicExch(u + 6, (u64)i + 1);
  u64 old = u[7], assumed;
  do {
    assumed = old;
    old = atomicCAS(u + 7, assumed, assumed + big);
  } while (old != assumed);
  atomicAdd((double *)(u + 8), 0.25);
}

extern "C" __global__ void shared(u32 *out) {
  __shared__ u32 words[8];
  __shared__ u64 longs[2];
  __shared__ float single;
  __shared__ double number;
  int i = threadIdx.x;
  if (i < 8) words[i] = i == 2 ? ~0u : 0;
  if (i < 2) longs[i] = 0;
  if (i == 0) single = 0, number = 0;
  __syncthreads();
  atomicAdd(words, i);
  atomicMax(words + 1, (u32)i);
  atomicMin(words + 2, (u32)i + 3);
  atomicInc(words + 3, 6);
  atomicOr(words + 4, 1u << (i & 7));
  atomicExch(words + 5, 5);
  atomicAdd(longs, (u64)i << 32);
  atomicMax(longs + 1, (u64)i << 32);
  atomicAdd(&single, 2.0f);
  atomicAdd(&number, 3.0);
  // A lock that the threads of the block fight for.
  while (atomicCAS(words + 6, 0, 1) != 0) {
  }
  __threadfence_block();
  *(volatile u32 *)(words + 7) = *(volatile u32 *)(words + 7) + 1;
  __threadfence_block();
  atomicExch(words + 6, 0);
  __syncthreads();
  if (i < 8) out[i] = words[i];
  if (i == 0) {
    out[8] = (u32)(longs[0] >> 32);
    out[9] = (u32)(longs[1] >> 32);
    out[10] = (u32)single;
    out[11] = (u32)number;
  }
}

// Orders and scopes, as libraries write them.
extern "C" __global__ void orders(u32 *flag, u32 *data, u32 *out) {
  u32 x, y;
  if (threadIdx.x == 0) {
    data[0] = 42;
    __threadfence();
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(1) : "memory");
  }
  if (threadIdx.x == 32) {
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(x) : "l"(flag) : "memory");
    } while (x == 0);
    out[0] = data[0];
    asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(x) : "l"(flag) : "memory");
    asm volatile("fence.acq_rel.sys;" ::: "memory");
    asm volatile("fence.sc.cta;" ::: "memory");
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 4;" : "=r"(y) : "l"(flag) : "memory");
    asm volatile("red.release.sys.global.add.u32 [%0], 8;" ::"l"(flag) : "memory");
    asm volatile("atom.relaxed.cta.global.exch.b32 %0, [%1], 7;" : "=r"(out[3]) : "l"(flag) : "memory");
    __threadfence_system();
    out[1] = x;
    out[2] = y;
  }
}
