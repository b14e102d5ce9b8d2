// Cooperative groups within a block.

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

namespace cg = cooperative_groups;
typedef unsigned u32;

extern "C" __global__ void groups(u32 *out) {
  cg::thread_block block = cg::this_thread_block();
  u32 i = block.thread_rank();
  u32 *r = out + i * 8;
  auto warp = cg::tiled_partition<32>(block);
  auto tile = cg::tiled_partition<8>(warp);
  r[0] = tile.thread_rank() * 100 + tile.meta_group_rank();
  r[1] = tile.shfl(i, 3);
  r[2] = tile.ballot(i % 3 == 0);
  r[3] = cg::reduce(tile, i, cg::plus<u32>());
  r[4] = cg::reduce(warp, i, cg::greater<u32>());
  block.sync();
  r[5] = 0;
  if (i % 4 == 1) {
    auto some = cg::coalesced_threads();
    r[5] = some.any(i == 5) + 2 * some.all(i % 4 == 1);
  }
  r[6] = warp.match_any(i / 9);
  r[7] = block.size();
}
