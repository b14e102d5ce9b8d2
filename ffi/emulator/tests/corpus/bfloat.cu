// Bfloats, one and two at a time: CUDA has their arithmetic from compute_80 on.

#if __CUDA_ARCH__ >= 800
#include <cuda_bf16.h>

typedef unsigned u32;
typedef unsigned short u16;

extern "C" __global__ void bfloats(const u16 *in_a, const u16 *in_b, const u16 *in_c, u16 *out) {
  int i = threadIdx.x;
  __nv_bfloat16 a = __ushort_as_bfloat16(in_a[i]), b = __ushort_as_bfloat16(in_b[i]), c = __ushort_as_bfloat16(in_c[i]);
  u16 *r = out + i * 13;
  r[0] = __bfloat16_as_ushort(__hadd_rn(a, b));
  r[1] = __bfloat16_as_ushort(__hsub_rn(a, b));
  r[2] = __bfloat16_as_ushort(__hmul_rn(a, b));
  r[3] = __bfloat16_as_ushort(__hfma(a, b, c));
  r[4] = __bfloat16_as_ushort(__hfma_sat(a, b, c));
  r[5] = __bfloat16_as_ushort(-a);
  r[6] = __bfloat16_as_ushort(__habs(a));
  r[7] = (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b) + 16 * (a > b) + 32 * (a >= b);
  r[8] = __bfloat16_as_ushort(__hmin(a, b));
  r[9] = __bfloat16_as_ushort(__hmax(a, b));
  r[10] = (u16)__bfloat162int_rz(a);
  r[11] = __bfloat16_as_ushort(a / b);
  r[12] = __bfloat16_as_ushort(hfloor(a));
}

extern "C" __global__ void to_bfloat(const float *in_a, const double *in_b, const int *in_c, u16 *out) {
  int i = threadIdx.x;
  float a = in_a[i];
  double b = in_b[i];
  int c = in_c[i];
  u16 *r = out + i * 8;
  r[0] = __bfloat16_as_ushort(__float2bfloat16_rn(a));
  r[1] = __bfloat16_as_ushort(__float2bfloat16_rz(a));
  r[2] = __bfloat16_as_ushort(__float2bfloat16_rd(a));
  r[3] = __bfloat16_as_ushort(__float2bfloat16_ru(a));
  r[4] = __bfloat16_as_ushort(__double2bfloat16(b));
  r[5] = __bfloat16_as_ushort(__int2bfloat16_rn(c));
  __nv_bfloat162 two = __floats2bfloat162_rn(a, (float)b);
  r[6] = __bfloat16_as_ushort(__low2bfloat16(two));
  r[7] = __bfloat16_as_ushort(__high2bfloat16(two));
}

extern "C" __global__ void bfloat_atomics(u32 *out) {
  int i = threadIdx.x;
  __nv_bfloat16 one = __ushort_as_bfloat16(0x3f80);
  atomicAdd((__nv_bfloat16 *)out + (i & 1), one);
  atomicAdd((__nv_bfloat162 *)(out + 1), __halves2bfloat162(one, __hneg(one)));
}
#endif
