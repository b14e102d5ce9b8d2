// Double precision: every rounding, every conversion, whole steps.

typedef unsigned u32;
typedef unsigned long long u64;

extern "C" __global__ void rounded(const double *in_a, const double *in_b, const double *in_c, double *out) {
  int i = threadIdx.x;
  double a = in_a[i], b = in_b[i], c = in_c[i];
  double *r = out + i * 28;
  r[0] = __dadd_rn(a, b);
  r[1] = __dadd_rz(a, b);
  r[2] = __dadd_rd(a, b);
  r[3] = __dadd_ru(a, b);
  r[4] = __dsub_rn(a, b);
  r[5] = __dsub_rz(a, b);
  r[6] = __dsub_rd(a, b);
  r[7] = __dsub_ru(a, b);
  r[8] = __dmul_rn(a, b);
  r[9] = __dmul_rz(a, b);
  r[10] = __dmul_rd(a, b);
  r[11] = __dmul_ru(a, b);
  r[12] = __fma_rn(a, b, c);
  r[13] = __fma_rz(a, b, c);
  r[14] = __fma_rd(a, b, c);
  r[15] = __fma_ru(a, b, c);
  r[16] = __ddiv_rn(a, b);
  r[17] = __ddiv_rz(a, b);
  r[18] = __ddiv_rd(a, b);
  r[19] = __ddiv_ru(a, b);
  r[20] = __drcp_rn(a);
  r[21] = __drcp_rz(a);
  r[22] = __drcp_rd(a);
  r[23] = __drcp_ru(a);
  r[24] = __dsqrt_rn(a);
  r[25] = __dsqrt_rz(a);
  r[26] = __dsqrt_rd(a);
  r[27] = __dsqrt_ru(a);
}

extern "C" __global__ void steps(const double *in_a, const double *in_b, double *out) {
  int i = threadIdx.x;
  double a = in_a[i], b = in_b[i];
  double *r = out + i * 12;
  r[0] = floor(a);
  r[1] = ceil(a);
  r[2] = trunc(a);
  r[3] = rint(a);
  r[4] = round(a);
  r[5] = fmin(a, b);
  r[6] = fmax(a, b);
  r[7] = fabs(a);
  r[8] = copysign(a, b);
  r[9] = a < b ? 1 : a == b ? 2 : a > b ? 3 : 4;
  r[10] = (isnan(a) ? 1 : 0) + (isinf(a) ? 2 : 0) + (signbit(a) ? 4 : 0) + (isfinite(a) ? 8 : 0);
  r[11] = __hiloint2double(__double2hiint(a), __double2loint(b));
}

extern "C" __global__ void to_others(const double *in, u64 *out) {
  int i = threadIdx.x;
  double a = in[i];
  u64 *r = out + i * 20;
  r[0] = (u32)__double2int_rn(a);
  r[1] = (u32)__double2int_rz(a);
  r[2] = (u32)__double2int_rd(a);
  r[3] = (u32)__double2int_ru(a);
  r[4] = __double2uint_rn(a);
  r[5] = __double2uint_rz(a);
  r[6] = __double2uint_rd(a);
  r[7] = __double2uint_ru(a);
  r[8] = __double2ll_rn(a);
  r[9] = __double2ll_rz(a);
  r[10] = __double2ll_rd(a);
  r[11] = __double2ll_ru(a);
  r[12] = __double2ull_rn(a);
  r[13] = __double2ull_rz(a);
  r[14] = __double2ull_rd(a);
  r[15] = __double2ull_ru(a);
  r[16] = __float_as_uint(__double2float_rn(a));
  r[17] = __float_as_uint(__double2float_rz(a));
  r[18] = __float_as_uint(__double2float_rd(a));
  r[19] = __float_as_uint(__double2float_ru(a));
}

extern "C" __global__ void from_integers(const u64 *in, double *out) {
  int i = threadIdx.x;
  u64 a = in[i];
  double *r = out + i * 10;
  r[0] = __int2double_rn((int)a);
  r[1] = __uint2double_rn((u32)a);
  r[2] = __ll2double_rn((long long)a);
  r[3] = __ll2double_rz((long long)a);
  r[4] = __ll2double_rd((long long)a);
  r[5] = __ll2double_ru((long long)a);
  r[6] = __ull2double_rn(a);
  r[7] = __ull2double_rz(a);
  r[8] = __ull2double_rd(a);
  r[9] = __ull2double_ru(a);
}
