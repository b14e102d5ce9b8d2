// One thread an element: arithmetic, the functions of the CUDA math library, comparisons.

extern "C" __global__ void add(const float *a, const float *b, float *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = a[i] + b[i];
}

extern "C" __global__ void functions(const float *in, float *out, long long n) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = in[i];
  float *y = out + i * 16;
  y[0] = expf(x);
  y[1] = erff(x);
  y[2] = tanhf(x);
  y[3] = sqrtf(fabsf(x));
  y[4] = rsqrtf(fabsf(x) + 1.0f);
  y[5] = sinf(x);
  y[6] = cosf(x);
  y[7] = logf(fabsf(x) + 0.1f);
  y[8] = powf(fabsf(x), 1.7f);
  y[9] = floorf(x);
  y[10] = roundf(x);
  y[11] = fmodf(x, 0.3f);
  y[12] = rintf(x);
  y[13] = x / 3.0f;
  y[14] = log1pf(fabsf(x));
  y[15] = cbrtf(x);
}

extern "C" __global__ void doubles(const double *in, double *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  double x = in[i];
  double *y = out + i * 8;
  y[0] = exp(x);
  y[1] = log(fabs(x) + 0.1);
  y[2] = sin(x);
  y[3] = pow(fabs(x), 1.5);
  y[4] = sqrt(fabs(x));
  y[5] = x / 3.0;
  y[6] = fma(x, x, 1.0);
  y[7] = cos(x * 1e9);
}

extern "C" __global__ void select(const long long *a, const long long *b, unsigned char *less,
                                  long long *larger, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  less[i] = a[i] < b[i] && a[i] != -1;
  larger[i] = a[i] > b[i] ? a[i] : b[i];
}
