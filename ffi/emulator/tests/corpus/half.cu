// Half precision, one and two at a time.

#include <cuda_fp16.h>

typedef unsigned u32;
typedef unsigned short u16;

extern "C" __global__ void halves(const u16 *in_a, const u16 *in_b, const u16 *in_c, u16 *out) {
  int i = threadIdx.x;
  __half a = __ushort_as_half(in_a[i]), b = __ushort_as_half(in_b[i]), c = __ushort_as_half(in_c[i]);
  u16 *r = out + i * 24;
  r[0] = __half_as_ushort(__hadd_rn(a, b));
  r[1] = __half_as_ushort(__hsub_rn(a, b));
  r[2] = __half_as_ushort(__hmul_rn(a, b));
  r[3] = __half_as_ushort(__hfma(a, b, c));
  r[4] = __half_as_ushort(__hadd_sat(a, b));
  r[5] = __half_as_ushort(__hmul_sat(a, b));
  r[6] = __half_as_ushort(__hfma_sat(a, b, c));
  r[7] = __half_as_ushort(-a);
  r[8] = __half_as_ushort(__habs(a));
  r[9] = (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b) + 16 * (a > b) + 32 * (a >= b);
  r[10] = __hltu(a, b) + 2 * __hleu(a, b) + 4 * __hequ(a, b) + 8 * __hneu(a, b) + 16 * __hgtu(a, b) +
          32 * __hgeu(a, b) + 64 * __hisnan(a) + 128 * (__hisinf(a) != 0);
  r[11] = __half_as_ushort(__hmin(a, b));
  r[12] = __half_as_ushort(__hmax(a, b));
  r[13] = __half_as_ushort(hfloor(a));
  r[14] = __half_as_ushort(hceil(a));
  r[15] = __half_as_ushort(htrunc(a));
  r[16] = __half_as_ushort(hrint(a));
  r[17] = (u16)__half2short_rn(a);
  r[18] = __half2ushort_rz(a);
  r[19] = (u16)__half2int_rd(a);
  r[20] = (u16)__half2uint_ru(a);
  r[21] = (u16)__half2ll_rz(a);
  r[22] = __half_as_ushort(a / b);
  r[23] = __half_as_ushort(hsqrt(a));
}

extern "C" __global__ void half_pairs(const u32 *in_a, const u32 *in_b, const u32 *in_c, u32 *out) {
  int i = threadIdx.x;
  __half2 a = *(const __half2 *)(in_a + i), b = *(const __half2 *)(in_b + i), c = *(const __half2 *)(in_c + i);
  __half2 *r = (__half2 *)(out + i * 12);
  r[0] = __hadd2_rn(a, b);
  r[1] = __hsub2_rn(a, b);
  r[2] = __hmul2_rn(a, b);
  r[3] = __hfma2(a, b, c);
  r[4] = __hadd2_sat(a, b);
  r[5] = __hneg2(a);
  r[6] = __habs2(a);
  r[7] = __hlt2(a, b);
  r[8] = __hgeu2(a, b);
  r[9] = __hmin2(a, b);
  r[10] = __lowhigh2highlow(a);
  r[11] = __halves2half2(__high2half(a), __low2half(b));
}

extern "C" __global__ void to_half(const float *in_a, const double *in_b, const int *in_c, u16 *out) {
  int i = threadIdx.x;
  float a = in_a[i];
  double b = in_b[i];
  int c = in_c[i];
  u16 *r = out + i * 16;
  r[0] = __half_as_ushort(__float2half_rn(a));
  r[1] = __half_as_ushort(__float2half_rz(a));
  r[2] = __half_as_ushort(__float2half_rd(a));
  r[3] = __half_as_ushort(__float2half_ru(a));
  r[4] = __half_as_ushort(__double2half(b));
  r[5] = __half_as_ushort(__int2half_rn(c));
  r[6] = __half_as_ushort(__int2half_rz(c));
  r[7] = __half_as_ushort(__int2half_rd(c));
  r[8] = __half_as_ushort(__int2half_ru(c));
  r[9] = __half_as_ushort(__uint2half_rn((u32)c));
  r[10] = __half_as_ushort(__ll2half_rn((long long)c * 3));
  r[11] = __half_as_ushort(__short2half_rn((short)c));
  __half2 two = __floats2half2_rn(a, (float)b);
  r[12] = __half_as_ushort(__low2half(two));
  r[13] = __half_as_ushort(__high2half(two));
  r[14] = __half_as_ushort(__ushort2half_rd((u16)c));
  r[15] = 0;
}

extern "C" __global__ void half_functions(const u16 *in, u16 *out) {
  int i = threadIdx.x;
  __half a = __ushort_as_half(in[i]);
  u16 *r = out + i * 8;
  r[0] = __half_as_ushort(hexp(a));
  r[1] = __half_as_ushort(hlog(a));
  r[2] = __half_as_ushort(hrcp(a));
  r[3] = __half_as_ushort(hrsqrt(a));
  r[4] = __half_as_ushort(hsin(a));
  r[5] = __half_as_ushort(hcos(a));
  r[6] = __half_as_ushort(hexp2(a));
  r[7] = __half_as_ushort(hlog2(a));
}

extern "C" __global__ void half_atomics(u32 *out) {
  int i = threadIdx.x;
  __half one = __ushort_as_half(0x3c00);
  atomicAdd((__half2 *)out, __halves2half2(one, __hneg(one)));
  atomicAdd((__half *)(out + 1) + (i & 1), one);
}
