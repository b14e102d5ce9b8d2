// The functions of the library in single and double precision.

extern "C" __global__ void singles(const float *in_a, const float *in_b, float *out) {
  int i = threadIdx.x;
  float a = in_a[i], b = in_b[i];
  float *r = out + i * 36;
  r[0] = sinf(a);
  r[1] = cosf(a);
  r[2] = tanf(a);
  r[3] = expf(a);
  r[4] = exp2f(a);
  r[5] = exp10f(a);
  r[6] = expm1f(a);
  r[7] = logf(b);
  r[8] = log2f(b);
  r[9] = log10f(b);
  r[10] = log1pf(b);
  r[11] = powf(b, a);
  r[12] = sqrtf(b);
  r[13] = rsqrtf(b);
  r[14] = cbrtf(a);
  r[15] = asinf(a / 32);
  r[16] = acosf(a / 32);
  r[17] = atanf(a);
  r[18] = atan2f(a, b);
  r[19] = sinhf(a);
  r[20] = coshf(a);
  r[21] = tanhf(a);
  r[22] = asinhf(a);
  r[23] = acoshf(b + 1);
  r[24] = atanhf(a / 32);
  r[25] = erff(a / 8);
  r[26] = erfcf(a / 8);
  r[27] = tgammaf(b / 8);
  r[28] = lgammaf(b);
  r[29] = hypotf(a, b);
  r[30] = fmodf(a, b);
  r[31] = remainderf(a, b);
  r[32] = a / b;
  r[33] = 1 / b;
  float s, c;
  sincosf(a * 1000, &s, &c);
  r[34] = s;
  r[35] = c;
}

// Functions that are fast and near without any option.
extern "C" __global__ void near(const float *in_a, const float *in_b, float *out) {
  int i = threadIdx.x;
  float a = in_a[i], b = in_b[i];
  float *r = out + i * 9;
  r[0] = __sinf(a);
  r[1] = __cosf(a);
  r[2] = __expf(a);
  r[3] = __logf(b);
  r[4] = __log2f(b);
  r[5] = __fdividef(a, b);
  r[6] = __powf(b, 1.5f);
  r[7] = __frsqrt_rn(b);
  r[8] = __exp10f(a / 8);
}

extern "C" __global__ void doubles(const double *in_a, const double *in_b, double *out) {
  int i = threadIdx.x;
  double a = in_a[i], b = in_b[i];
  double *r = out + i * 34;
  r[0] = sin(a);
  r[1] = cos(a);
  r[2] = tan(a);
  r[3] = exp(a);
  r[4] = exp2(a);
  r[5] = exp10(a);
  r[6] = expm1(a);
  r[7] = log(b);
  r[8] = log2(b);
  r[9] = log10(b);
  r[10] = log1p(b);
  r[11] = pow(b, a);
  r[12] = sqrt(b);
  r[13] = rsqrt(b);
  r[14] = cbrt(a);
  r[15] = asin(a / 32);
  r[16] = acos(a / 32);
  r[17] = atan(a);
  r[18] = atan2(a, b);
  r[19] = sinh(a);
  r[20] = cosh(a);
  r[21] = tanh(a);
  r[22] = asinh(a);
  r[23] = acosh(b + 1);
  r[24] = atanh(a / 32);
  r[25] = erf(a / 8);
  r[26] = erfc(a / 8);
  r[27] = tgamma(b / 8);
  r[28] = lgamma(b);
  r[29] = hypot(a, b);
  r[30] = fmod(a, b);
  r[31] = remainder(a, b);
  r[32] = a / b;
  r[33] = sin(a * 1e6);
}
