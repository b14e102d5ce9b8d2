// Atomics that only compute_90 has, and the atomics of CUDA 12.8 that are spelled by order.

typedef unsigned u32;
typedef unsigned long long u64;

extern "C" __global__ void ordered(u32 *u, u64 *l, float *f, u32 *out) {
  int i = threadIdx.x;
#if __CUDACC_VER_MAJOR__ > 12 || __CUDACC_VER_MINOR__ >= 8
  out[i] = __nv_atomic_fetch_add(u, 1u, __NV_ATOMIC_RELAXED, __NV_THREAD_SCOPE_DEVICE);
  __nv_atomic_add(l, (u64)i, __NV_ATOMIC_ACQ_REL, __NV_THREAD_SCOPE_SYSTEM);
  __nv_atomic_max(u + 1, (u32)i, __NV_ATOMIC_SEQ_CST, __NV_THREAD_SCOPE_BLOCK);
  __nv_atomic_add(f, 0.5f, __NV_ATOMIC_RELEASE, __NV_THREAD_SCOPE_DEVICE);
  u32 expected = 0, wanted = i + 1;
  __nv_atomic_compare_exchange(u + 2, &expected, &wanted, false, __NV_ATOMIC_ACQ_REL, __NV_ATOMIC_ACQUIRE,
                               __NV_THREAD_SCOPE_DEVICE);
  u32 seen;
  __nv_atomic_load(u + 2, &seen, __NV_ATOMIC_ACQUIRE, __NV_THREAD_SCOPE_DEVICE);
  __nv_atomic_store_n(u + 3, seen != 0, __NV_ATOMIC_RELEASE, __NV_THREAD_SCOPE_SYSTEM);
  __nv_atomic_thread_fence(__NV_ATOMIC_SEQ_CST, __NV_THREAD_SCOPE_DEVICE);
#else
  out[i] = atomicAdd(u, 1u);
  atomicAdd(l, (u64)i);
  atomicMax(u + 1, (u32)i);
  atomicAdd(f, 0.5f);
  atomicCAS(u + 2, 0u, i + 1u);
  u[3] = 1;
#endif
}

#if __CUDA_ARCH__ >= 900
struct alignas(16) Two {
  u64 low, high;
};

extern "C" __global__ void wide(Two *at, float2 *two, float4 *four) {
  int i = threadIdx.x;
#if __CUDACC_VER_MAJOR__ > 12 || __CUDACC_VER_MINOR__ >= 8
  Two old = *at, assumed;
  do {
    assumed = old;
    old = atomicCAS(at, assumed, Two{assumed.low + 1, assumed.high + i});
  } while (old.low != assumed.low || old.high != assumed.high);
  atomicExch(at + 1, Two{5, 6});
  atomicAdd(two, make_float2(1, -1));
  atomicAdd(four, make_float4(1, 2, 3, 4));
#endif
}
#endif
