// refused: mma.sync
extern "C" __global__ void matrix(const unsigned *in, float *out) {
  int i = threadIdx.x;
  float d[4] = {};
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(in[i]), "r"(in[i + 32]), "r"(in[i + 64]));
  out[i] = d[0] + d[1] + d[2] + d[3];
}
