// Single precision: every rounding, every conversion, whole steps.

typedef unsigned u32;
typedef unsigned long long u64;

// Arithmetic whose rounding is said; --use_fast_math changes none of it but subnormal numbers.
extern "C" __global__ void rounded(const float *in_a, const float *in_b, const float *in_c, float *out) {
  int i = threadIdx.x;
  float a = in_a[i], b = in_b[i], c = in_c[i];
  float *r = out + i * 29;
  r[0] = __fadd_rn(a, b);
  r[1] = __fadd_rz(a, b);
  r[2] = __fadd_rd(a, b);
  r[3] = __fadd_ru(a, b);
  r[4] = __fsub_rn(a, b);
  r[5] = __fsub_rz(a, b);
  r[6] = __fsub_rd(a, b);
  r[7] = __fsub_ru(a, b);
  r[8] = __fmul_rn(a, b);
  r[9] = __fmul_rz(a, b);
  r[10] = __fmul_rd(a, b);
  r[11] = __fmul_ru(a, b);
  r[12] = __fmaf_rn(a, b, c);
  r[13] = __fmaf_rz(a, b, c);
  r[14] = __fmaf_rd(a, b, c);
  r[15] = __fmaf_ru(a, b, c);
  r[16] = __fdiv_rn(a, b);
  r[17] = __fdiv_rz(a, b);
  r[18] = __fdiv_rd(a, b);
  r[19] = __fdiv_ru(a, b);
  r[20] = __frcp_rn(a);
  r[21] = __frcp_rz(a);
  r[22] = __frcp_rd(a);
  r[23] = __frcp_ru(a);
  r[24] = __fsqrt_rn(a);
  r[25] = __fsqrt_rz(a);
  r[26] = __fsqrt_rd(a);
  r[27] = __fsqrt_ru(a);
  r[28] = __saturatef(a);
}

extern "C" __global__ void steps(const float *in_a, const float *in_b, float *out) {
  int i = threadIdx.x;
  float a = in_a[i], b = in_b[i];
  float *r = out + i * 13;
  r[0] = floorf(a);
  r[1] = ceilf(a);
  r[2] = truncf(a);
  r[3] = rintf(a);
  r[4] = roundf(a);
  r[5] = nearbyintf(a);
  r[6] = fminf(a, b);
  r[7] = fmaxf(a, b);
  r[8] = fabsf(a);
  r[9] = copysignf(a, b);
  r[10] = fdimf(a, b);
  r[11] = a < b ? 1 : a == b ? 2 : a > b ? 3 : 4;
  r[12] = (isnan(a) ? 1 : 0) + (isinf(a) ? 2 : 0) + (signbit(a) ? 4 : 0) + (isfinite(a) ? 8 : 0);
}

extern "C" __global__ void to_integers(const float *in, u64 *out) {
  int i = threadIdx.x;
  float a = in[i];
  u64 *r = out + i * 20;
  r[0] = (u32)__float2int_rn(a);
  r[1] = (u32)__float2int_rz(a);
  r[2] = (u32)__float2int_rd(a);
  r[3] = (u32)__float2int_ru(a);
  r[4] = __float2uint_rn(a);
  r[5] = __float2uint_rz(a);
  r[6] = __float2uint_rd(a);
  r[7] = __float2uint_ru(a);
  r[8] = __float2ll_rn(a);
  r[9] = __float2ll_rz(a);
  r[10] = __float2ll_rd(a);
  r[11] = __float2ll_ru(a);
  r[12] = __float2ull_rn(a);
  r[13] = __float2ull_rz(a);
  r[14] = __float2ull_rd(a);
  r[15] = __float2ull_ru(a);
  r[16] = (u32)lrintf(a);
  r[17] = (u32)llroundf(a);
  r[18] = (u32)__float_as_int(a);
  r[19] = (u32)__float_as_uint((float)(double)a);
}

extern "C" __global__ void from_integers(const u64 *in, float *out) {
  int i = threadIdx.x;
  u64 a = in[i];
  float *r = out + i * 16;
  r[0] = __int2float_rn((int)a);
  r[1] = __int2float_rz((int)a);
  r[2] = __int2float_rd((int)a);
  r[3] = __int2float_ru((int)a);
  r[4] = __uint2float_rn((u32)a);
  r[5] = __uint2float_rz((u32)a);
  r[6] = __uint2float_rd((u32)a);
  r[7] = __uint2float_ru((u32)a);
  r[8] = __ll2float_rn((long long)a);
  r[9] = __ll2float_rz((long long)a);
  r[10] = __ll2float_rd((long long)a);
  r[11] = __ll2float_ru((long long)a);
  r[12] = __ull2float_rn(a);
  r[13] = __ull2float_rz(a);
  r[14] = __ull2float_rd(a);
  r[15] = __ull2float_ru(a);
}
