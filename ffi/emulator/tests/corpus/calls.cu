// Calls: recursion, pointers to functions, virtual functions, values of many bytes.

typedef unsigned u32;

struct Row {
  int cell[6];
  double scale;
};

__device__ __noinline__ Row shifted(Row row, int by) {
  Row result;
  for (int at = 0; at < 6; at++) result.cell[at] = row.cell[(at + by) % 6] + by;
  result.scale = row.scale * 2;
  return result;
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__device__ __noinline__ int twice(int x) { return 2 * x; }
__device__ __noinline__ int thrice(int x) { return 3 * x; }
__device__ __noinline__ int squared(int x) { return x * x; }

typedef int (*Function)(int);
__device__ Function table[3] = {twice, thrice, squared};
__constant__ Function chosen = thrice;

struct Shape {
  __device__ virtual float area() const = 0;
  __device__ virtual int sides() const { return 0; }
};

struct Square : Shape {
  float side;
  __device__ Square(float side) : side(side) {}
  __device__ float area() const override { return side * side; }
  __device__ int sides() const override { return 4; }
};

struct Disc : Shape {
  float radius;
  __device__ Disc(float radius) : radius(radius) {}
  __device__ float area() const override { return 3 * radius * radius; }
};

__device__ __noinline__ float measure(const Shape *shape) { return shape->area() + 100 * shape->sides(); }

extern "C" __global__ void calls(const int *in, int *out) {
  int i = threadIdx.x, x = in[i];
  int *r = out + i * 8;
  r[0] = fibonacci(x & 15);
  r[1] = table[i % 3](x);
  Function own = i & 1 ? squared : twice;
  r[2] = own(x) + chosen(x);
  Row row;
  for (int at = 0; at < 6; at++) row.cell[at] = x + at;
  row.scale = x;
  Row moved = shifted(row, i % 6);
  r[3] = moved.cell[0] + 7 * moved.cell[5];
  r[4] = (int)moved.scale;
  Square square((float)(x & 255));
  Disc disc((float)(x & 15));
  const Shape *shape = i & 1 ? (const Shape *)&square : (const Shape *)&disc;
  r[5] = (int)measure(shape);
  r[6] = shape->sides();
  r[7] = 0;
}

// The function comes from the host's memory.
extern "C" __global__ void addresses(Function *out) {
  out[0] = twice;
  out[1] = squared;
}

extern "C" __global__ void by_address(const Function *functions, const int *in, int *out) {
  int i = threadIdx.x;
  out[i] = functions[i & 1](in[i]);
}

// A parameter of many bytes, of which each thread picks one by its number.
struct Many {
  float value[24];
  int index[8];
};

extern "C" __global__ void picked(Many many, const int *in, float *out) {
  int i = threadIdx.x;
  out[i] = many.value[many.index[i % 8] + in[i] % 2];
}

// So many that the compiler reads the parameter where it lies.
struct Table {
  float value[700];
};

extern "C" __global__ void looked_up(Table table, const int *in, float *out) {
  int i = threadIdx.x;
  float sum = 0;
  for (int k = 0; k < (in[i] & 15); k++) sum += table.value[(in[i] * 7 + k) % 700u];
  out[i] = sum;
}

extern "C" __global__ void endless(int *out) {
  struct Deep {
    static __device__ __noinline__ int down(int x, volatile int *out) {
      if (x < 0) return 0;
      int y = down(x + 1, out);
      *out = y;
      return y + x;
    }
  };
  out[threadIdx.x] = Deep::down(1, out);
}
