// Every atomic that CUDA C++ has for 32 and 64 bits.

extern "C" __global__ void atomics(unsigned *u, int *s, unsigned long long *l, float *f, double *d) {
  int t = threadIdx.x;
  atomicAdd(u, 1u);
  atomicMin(u + 1, (unsigned)t);
  atomicMax(u + 2, (unsigned)t);
  atomicExch(u + 3, (unsigned)t);
  u[32 + t] = atomicCAS(u + 4, 0u, t + 1);
  atomicAnd(u + 5, ~(1u << (t & 31)));
  atomicOr(u + 6, 1u << (t & 31));
  atomicXor(u + 7, 1u << (t & 31));
  atomicInc(u + 8, 7u);
  atomicDec(u + 9, 7u);
  atomicAdd_block(u + 10, 1u);
  atomicAdd_system(u + 11, 1u);
  atomicAdd(s, -1);
  atomicMin(s + 1, t - 5);
  atomicMax(s + 2, t - 5);
  atomicSub(s + 3, t);
  atomicAdd(l, (unsigned long long)t);
  atomicMax(l + 1, (unsigned long long)t);
  atomicCAS(l + 2, 0ull, (unsigned long long)(t + 1));
  atomicExch(l + 3, (unsigned long long)t);
  atomicMin((long long *)l + 4, (long long)t - 9);
  atomicAnd(l + 5, 5ull);
  atomicAdd(f, 1.0f);
  atomicExch(f + 1, (float)t);
  atomicAdd(d, 1.0);
}

// A lock that threads of one block fight for.
extern "C" __global__ void locked(int *lock, volatile int *count) {
  while (atomicCAS(lock, 0, 1) != 0) {}
  __threadfence();
  *count = *count + 1;
  __threadfence();
  atomicExch(lock, 0);
}
