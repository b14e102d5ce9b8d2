// Memory of every kind: constant, local, vectors, hints for caches, volatile, packed.

typedef unsigned u32;
typedef unsigned long long u64;
typedef unsigned char u8;
typedef unsigned short u16;

__constant__ float weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
__constant__ u32 settings[4];
__device__ u32 counters[4] = {10, 20};
__device__ const char greeting[] = "hello";
__device__ u32 *pointer = &counters[1];
__managed__ int managed = 5;

extern "C" __global__ void constants(const int *in, float *out) {
  int i = threadIdx.x;
  out[i] = weights[in[i] & 7] + settings[i & 3] + greeting[i % 5] + *pointer + counters[3];
}

extern "C" __global__ void host_sees(int by) { managed += by; }

extern "C" __global__ void hints(const u32 *in, u32 *out) {
  int i = threadIdx.x;
  u32 *r = out + i * 12;
  r[0] = __ldg(in + i);
  r[1] = __ldca(in + i);
  r[2] = __ldcg(in + i);
  r[3] = __ldcs(in + i);
  r[4] = __ldlu(in + i);
  r[5] = __ldcv(in + i);
  __stwb(r + 6, in[i] + 1);
  __stcg(r + 7, in[i] + 2);
  __stcs(r + 8, in[i] + 3);
  __stwt(r + 9, in[i] + 4);
  asm volatile("prefetch.global.L1 [%0];" ::"l"(in));
  asm volatile("prefetch.global.L2 [%0];" ::"l"(in));
  asm volatile("prefetchu.L1 [%0];" ::"l"(in));
  asm("ld.global.L1::no_allocate.u32 %0, [%1];" : "=r"(r[10]) : "l"(in + i));
  asm("ld.global.nc.L1::evict_last.L2::128B.u32 %0, [%1];" : "=r"(r[11]) : "l"(in + i));
}

extern "C" __global__ void vectors(const float4 *in, float4 *out, const double2 *in2, double2 *out2) {
  int i = threadIdx.x;
  float4 v = __ldg(in + i);
  out[i] = make_float4(v.w, v.z, v.y, v.x);
  double2 d = in2[i];
  out2[i] = make_double2(d.y, d.x + 1);
}

struct Mixed {
  u8 a;
  u16 b;
  u32 c;
  u64 d;
  bool e;
  signed char f;
  u32 g : 3, h : 12;
  int k : 9;
};

extern "C" __global__ void mixed(const Mixed *in, Mixed *out) {
  int i = threadIdx.x;
  Mixed m = in[i];
  m.a += 1;
  m.b *= 3;
  m.c ^= 0xff;
  m.d -= 1;
  m.e = !m.e;
  m.f = -m.f;
  m.g += 1;
  m.h = m.h * 2;
  m.k -= 1;
  out[i] = m;
}

extern "C" __global__ void locals(const int *in, int *out) {
  int i = threadIdx.x;
  int stack[16];
  volatile int twice[4];
  for (int k = 0; k < 16; k++) stack[k] = in[(i + k) % blockDim.x];
  // Insertion sort in local memory.
  for (int k = 1; k < 16; k++) {
    int x = stack[k], at = k;
    for (; at > 0 && stack[at - 1] > x; at--) stack[at] = stack[at - 1];
    stack[at] = x;
  }
  for (int k = 0; k < 4; k++) twice[k] = stack[k * 4];
  u8 bytes[24];
  memset(bytes, i, 24);
  memcpy(bytes + (in[i] & 7), stack + 1, 8);
  int sum = 0;
  for (int k = 0; k < 24; k++) sum += bytes[k] * (k + 1);
  int *row = out + i * 6;
  row[0] = stack[i & 15];
  row[1] = twice[i & 3];
  row[2] = sum;
  row[3] = __isGlobal(in) + 2 * __isLocal(stack) + 4 * __isShared(stack);
  int *any = i & 1 ? stack : out + i * 6 + 5;
  *any = 9;
  row[4] = *any + (i & 1 ? stack[0] : row[5]);
  row[5] = 0;
}

extern "C" __global__ void spaces(u32 *out) {
  __shared__ u32 words[64];
  int i = threadIdx.x;
  u32 *generic = words + i;
  *generic = i * 2;
  __syncthreads();
  u32 address = (u32)__cvta_generic_to_shared(words + (i ^ 1));
  u32 x;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(address) : "memory");
  out[i * 2] = x;
  out[i * 2 + 1] = __isShared(generic) + 2 * __isGlobal(out) + 4 * __isConstant(weights);
}
