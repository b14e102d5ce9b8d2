// What a kernel asks of the machine: printing, memory, clocks, an end.

typedef unsigned u32;
typedef unsigned long long u64;

extern "C" __global__ void prints(int x, double y) {
  if (threadIdx.x == 0) {
    int n = printf("x=%d y=%.3f %s %c %5u|%-6x|%lld %%\n", x, y, "text", 'q', 42u, 255, 1ll << 40);
    printf("%d args, %p %08.2e %hd %hhu %g\n", n, (void *)0x10, y * 1e6, (short)-3, (unsigned char)200, 0.5f);
    printf("plain\n");
  }
}

extern "C" __global__ void asserts(const int *in) { assert(in[threadIdx.x] != 7); }

extern "C" __global__ void traps(const int *in) {
  if (in[threadIdx.x] == 7) __trap();
}

// Each thread has a list of its own on the heap.
extern "C" __global__ void heap(const int *in, int *out) {
  struct Node {
    int value;
    Node *next;
  };
  int i = threadIdx.x, sum = 0;
  Node *list = nullptr;
  for (int k = 0; k < (in[i] & 7); k++) {
    Node *node = (Node *)malloc(sizeof(Node));
    if (!node) continue;
    node->value = k + i;
    node->next = list;
    list = node;
  }
  while (list) {
    sum += list->value;
    Node *next = list->next;
    free(list);
    list = next;
  }
  int *many = new int[10];
  many[9] = sum;
  out[i * 2] = many[9];
  delete[] many;
  out[i * 2 + 1] = malloc((size_t)1 << 40) == nullptr;
}

extern "C" __global__ void clocks(u64 *out) {
  u64 a = clock64(), t, u;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  clock_t short_a = clock();
  __nanosleep(100);
  u64 b = clock64();
  clock_t short_b = clock();
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(u));
  out[0] = b > a;
  out[1] = u >= t;
  out[2] = (u32)(short_b - short_a) < 1u << 30;
  u32 low, high;
  asm volatile("mov.u32 %0, %%globaltimer_lo;" : "=r"(low));
  asm volatile("mov.u32 %0, %%globaltimer_hi;" : "=r"(high));
  out[3] = high == (u32)(u >> 32) || low < 1u << 31;
}

extern "C" __global__ void spins(volatile int *flag) {
  while (*flag == 0) {
  }
}
