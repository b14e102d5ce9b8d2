// Integers: arithmetic of all widths, carries, bits, fields, packed words.
//
// Every kernel of this folder runs on one block of threads. Thread i reads element i of its inputs
// and writes a row of results; the host computes the same row exactly.

typedef unsigned u32;
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned short u16;

extern "C" __global__ void words(const u32 *in_a, const u32 *in_b, u32 *out) {
  int i = threadIdx.x;
  u32 a = in_a[i], b = in_b[i];
  int sa = a, sb = b;
  u32 *r = out + i * 24;
  r[0] = a + b;
  r[1] = a - b;
  r[2] = a * b;
  r[3] = b ? a / b : 7;
  r[4] = b ? a % b : 7;
  r[5] = sb && sb != -1 ? sa / sb : 7;
  r[6] = sb && sb != -1 ? sa % sb : 7;
  r[7] = __umulhi(a, b);
  r[8] = __mulhi(sa, sb);
  r[9] = __umul24(a, b);
  r[10] = __mul24(sa, sb);
  r[11] = __usad(a, b, 5u);
  r[12] = __sad(sa, sb, 5u);
  r[13] = min(sa, sb);
  r[14] = max(a, b);
  r[15] = abs(sa);
  r[16] = __hadd(sa, sb);
  r[17] = __rhadd(sa, sb);
  r[18] = __uhadd(a, b);
  r[19] = __urhadd(a, b);
  r[20] = a << (b & 31);
  r[21] = sa >> (b & 31);
  r[22] = a / 7 + a % 1000u;
  r[23] = sa / -3 + sa % 10;
}

extern "C" __global__ void bits(const u32 *in_a, const u32 *in_b, u32 *out) {
  int i = threadIdx.x;
  u32 a = in_a[i], b = in_b[i];
  u64 l = (u64)b << 32 | a;
  u32 *r = out + i * 24;
  r[0] = __popc(a);
  r[1] = __popcll(l);
  r[2] = __clz(a);
  r[3] = __clzll(l);
  r[4] = __ffs(a);
  r[5] = __ffsll(l);
  r[6] = __brev(a);
  u64 turned = __brevll(l);
  r[7] = (u32)turned;
  r[8] = (u32)(turned >> 32);
  r[9] = __byte_perm(a, b, 0x4321);
  r[10] = __byte_perm(a, b, b);
  r[11] = __funnelshift_l(a, b, 9);
  r[12] = __funnelshift_r(a, b, b);
  r[13] = __funnelshift_lc(a, b, b & 63);
  r[14] = __funnelshift_rc(a, b, b & 63);
  // NVRTC 12.0 leaves the functions for these undefined.
  asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(r[15]) : "r"(a), "r"(b), "r"(9));
  asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(r[16]) : "r"(a), "r"(b), "r"(-9));
  asm("dp2a.lo.u32.u32 %0, %1, %2, %3;" : "=r"(r[17]) : "r"(a), "r"(b), "r"(1));
  asm("dp2a.hi.u32.u32 %0, %1, %2, %3;" : "=r"(r[18]) : "r"(a), "r"(b), "r"(1));
  asm("dp2a.lo.s32.s32 %0, %1, %2, %3;" : "=r"(r[19]) : "r"(a), "r"(b), "r"(-1));
  asm("dp2a.hi.s32.s32 %0, %1, %2, %3;" : "=r"(r[20]) : "r"(a), "r"(b), "r"(-1));
  r[21] = (a & b) | (~a & 0x0f0f0f0fu) ^ (b >> 3);
  r[22] = (a >> 5) & 0x7ff;
  r[23] = (u32)((int)(a << 9) >> 20);
}

extern "C" __global__ void longs(const u64 *in_a, const u64 *in_b, u64 *out) {
  int i = threadIdx.x;
  u64 a = in_a[i], b = in_b[i];
  s64 sa = a, sb = b;
  u64 *r = out + i * 16;
  r[0] = a + b;
  r[1] = a - b;
  r[2] = a * b;
  r[3] = b ? a / b : 7;
  r[4] = b ? a % b : 7;
  r[5] = sb && sb != -1 ? sa / sb : 7;
  r[6] = sb && sb != -1 ? sa % sb : 7;
  r[7] = __umul64hi(a, b);
  r[8] = __mul64hi(sa, sb);
  r[9] = min(sa, sb);
  r[10] = max(a, b);
  r[11] = llabs(sa);
  r[12] = a << (b & 63);
  r[13] = sa >> (b & 63);
  r[14] = a / 1000000007ull;
  r[15] = sa % 97;
}

extern "C" __global__ void huge(const u64 *in_a, const u64 *in_b, u64 *out) {
  int i = threadIdx.x;
  unsigned __int128 a = (unsigned __int128)in_a[i] << 64 | in_b[i];
  unsigned __int128 b = (unsigned __int128)in_b[i] * 3 + in_a[i];
  unsigned __int128 r[6];
  r[0] = a + b;
  r[1] = a - b;
  r[2] = a * b;
  r[3] = b ? a / b : 7;
  r[4] = b ? a % b : 7;
  r[5] = (__int128)a >> (in_b[i] & 127);
  for (int at = 0; at < 6; at++) {
    out[i * 12 + at * 2] = (u64)r[at];
    out[i * 12 + at * 2 + 1] = (u64)(r[at] >> 64);
  }
}

extern "C" __global__ void shorts(const u32 *in_a, const u32 *in_b, u32 *out) {
  int i = threadIdx.x;
  u16 a = in_a[i], b = in_b[i];
  short sa = a, sb = b;
  signed char ca = a, cb = b;
  u32 *r = out + i * 12;
  r[0] = (u16)(a + b);
  r[1] = (u16)(a * b);
  r[2] = (u16)(b ? a / b : 7);
  r[3] = (short)(sb && sb != -1 ? sa % sb : 7);
  r[4] = min(sa, sb);
  r[5] = max(ca, cb);
  r[6] = (signed char)(ca + cb);
  r[7] = (short)(sa >> (b & 7));
  r[8] = (u16)(a << (b & 7));
  r[9] = (u32)((int)sa * (int)sb);
  r[10] = (u16)((a & b) ^ (a | 3));
  r[11] = sa < sb ? 1 : ca < cb ? 2 : 3;
}

// 256-bit sums and products by the carry flag.
extern "C" __global__ void carries(const u32 *in_a, const u32 *in_b, u32 *out) {
  int i = threadIdx.x;
  const u32 *a = in_a + i * 4, *b = in_b + i * 4;
  u32 *r = out + i * 16;
  asm("add.cc.u32 %0, %4, %8;\n\taddc.cc.u32 %1, %5, %9;\n\taddc.cc.u32 %2, %6, %10;\n\taddc.u32 %3, %7, %11;"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]));
  asm("sub.cc.u32 %0, %4, %8;\n\tsubc.cc.u32 %1, %5, %9;\n\tsubc.cc.u32 %2, %6, %10;\n\tsubc.u32 %3, %7, %11;"
      : "=r"(r[4]), "=r"(r[5]), "=r"(r[6]), "=r"(r[7])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]));
  // The product of two 64-bit numbers in 128 bits.
  asm("{\n\t.reg .u32 w, x, y, z;\n\tmul.lo.u32 w, %4, %6;\n\tmul.hi.u32 x, %4, %6;\n\tmad.lo.cc.u32 x, %4, %7, x;\n\t"
      "madc.hi.u32 y, %4, %7, 0;\n\tmad.lo.cc.u32 x, %5, %6, x;\n\tmadc.hi.cc.u32 y, %5, %6, y;\n\t"
      "madc.hi.u32 z, %5, %7, 0;\n\tmad.lo.cc.u32 y, %5, %7, y;\n\taddc.u32 z, z, 0;\n\t"
      "mov.u32 %0, w;\n\tmov.u32 %1, x;\n\tmov.u32 %2, y;\n\tmov.u32 %3, z;\n\t}"
      : "=r"(r[8]), "=r"(r[9]), "=r"(r[10]), "=r"(r[11])
      : "r"(a[0]), "r"(a[1]), "r"(b[0]), "r"(b[1]));
  u64 low = (u64)a[1] << 32 | a[0], high = (u64)b[1] << 32 | b[0], sum, top;
  asm("add.cc.u64 %0, %2, %3;\n\taddc.u64 %1, 0, 0;" : "=l"(sum), "=l"(top) : "l"(low), "l"(high));
  r[12] = (u32)sum;
  r[13] = (u32)(sum >> 32);
  r[14] = (u32)top;
  r[15] = 0;
}

// Instructions that C++ has no word for, their operands in registers.
extern "C" __global__ void fields(const u32 *in_a, const u32 *in_b, u32 *out) {
  int i = threadIdx.x;
  u32 a = in_a[i], b = in_b[i], position = b & 63, length = b >> 6 & 63;
  u64 l = (u64)b << 32 | a, lr;
  u32 *r = out + i * 20;
  asm("bfe.u32 %0, %1, %2, %3;" : "=r"(r[0]) : "r"(a), "r"(position), "r"(length));
  asm("bfe.s32 %0, %1, %2, %3;" : "=r"(r[1]) : "r"(a), "r"(position), "r"(length));
  asm("bfe.u64 %0, %1, %2, %3;" : "=l"(lr) : "l"(l), "r"(position), "r"(length));
  r[2] = (u32)lr;
  r[3] = (u32)(lr >> 32);
  asm("bfe.s64 %0, %1, %2, %3;" : "=l"(lr) : "l"(l), "r"(position), "r"(length));
  r[4] = (u32)lr;
  r[5] = (u32)(lr >> 32);
  asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(r[6]) : "r"(a), "r"(b), "r"(position), "r"(length));
  asm("bfi.b64 %0, %1, %2, %3, %4;" : "=l"(lr) : "l"(l), "l"(~l), "r"(position), "r"(length));
  r[7] = (u32)lr;
  r[8] = (u32)(lr >> 32);
  asm("prmt.b32.f4e %0, %1, %2, %3;" : "=r"(r[9]) : "r"(a), "r"(b), "r"(b));
  asm("prmt.b32.b4e %0, %1, %2, %3;" : "=r"(r[10]) : "r"(a), "r"(b), "r"(b));
  asm("prmt.b32.rc8 %0, %1, %2, %3;" : "=r"(r[11]) : "r"(a), "r"(b), "r"(b));
  asm("prmt.b32.ecl %0, %1, %2, %3;" : "=r"(r[12]) : "r"(a), "r"(b), "r"(b));
  asm("prmt.b32.ecr %0, %1, %2, %3;" : "=r"(r[13]) : "r"(a), "r"(b), "r"(b));
  asm("prmt.b32.rc16 %0, %1, %2, %3;" : "=r"(r[14]) : "r"(a), "r"(b), "r"(b));
  asm("bfind.u32 %0, %1;" : "=r"(r[15]) : "r"(a));
  asm("bfind.shiftamt.s32 %0, %1;" : "=r"(r[16]) : "r"(a));
  asm("lop3.b32 %0, %1, %2, %3, 0xe8;" : "=r"(r[17]) : "r"(a), "r"(b), "r"(position));
  asm("add.sat.s32 %0, %1, %2;" : "=r"(r[18]) : "r"(a), "r"(b));
  asm("sub.sat.s32 %0, %1, %2;" : "=r"(r[19]) : "r"(a), "r"(b));
}

// Two or four numbers in a word.
extern "C" __global__ void packed(const u32 *in_a, const u32 *in_b, u32 *out) {
  int i = threadIdx.x;
  u32 a = in_a[i], b = in_b[i];
  u32 *r = out + i * 24;
  r[0] = __vadd4(a, b);
  r[1] = __vadd2(a, b);
  r[2] = __vsub4(a, b);
  r[3] = __vsub2(a, b);
  r[4] = __vaddss4(a, b);
  r[5] = __vaddus4(a, b);
  r[6] = __vaddss2(a, b);
  r[7] = __vsubus4(a, b);
  r[8] = __vabsdiffu4(a, b);
  r[9] = __vabsdiffs2(a, b);
  r[10] = __vcmpeq4(a, b);
  r[11] = __vcmpgtu4(a, b);
  r[12] = __vcmpgts2(a, b);
  r[13] = __vmaxu4(a, b);
  r[14] = __vmins4(a, b);
  r[15] = __vmaxs2(a, b);
  r[16] = __vavgu4(a, b);
  r[17] = __vsadu4(a, b);
  r[18] = __vsads2(a, b);
  r[19] = __vneg4(a);
  r[20] = __vabs4(a);
  r[21] = __vabsss2(a);
  r[22] = __vsetltu4(a, b);
  r[23] = __vhaddu4(a, b);
}

// A dense switch becomes a table of branches.
extern "C" __global__ void choose(const u32 *in, u32 *out) {
  int i = threadIdx.x;
  u32 x = in[i], y = 0;
  switch (x % 12) {
    case 0: y = x * 3; break;
    case 1: y = x ^ 0x55; break;
    case 2: y = x << 3; break;
    case 3: y = __popc(x);
    case 4: y += 100; break;
    case 5: y = x / 5; break;
    case 6: y = ~x; break;
    case 7: y = x - 7; break;
    case 8: for (u32 k = 0; k < (x & 7); k++) y += k * x; break;
    case 9: y = __brev(x); break;
    case 10: y = 10; break;
    default: y = 1;
  }
  out[i] = y;
}
