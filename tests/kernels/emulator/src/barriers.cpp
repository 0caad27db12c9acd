#include "emulator/barriers.h"

#include "defect.h"
#include "grid.h"

namespace emulator {
namespace {

void pass(Block& block) {
  ++block.epoch;
  block.nodes = {};
  for (Warp& warp : block.warps) warp.nodes = {};
  for (Thread& thread : block.threads) {
    thread.nodes = {};
    wake(thread);
  }
}

}  // namespace

int block_barrier(Site site, bool predicate) {
  Block& block = *current->block;
  if (block.waiting > 0 && !is_same(block.first_waiting->site, site)) {
    fail(name_of(*current) + " waits for its block at " + where(site) + ", but thread " +
         std::to_string(block.first_waiting->number) + " at " + where(block.first_waiting->site));
  }
  if (block.waiting == 0) block.first_waiting = current;
  come_to(State::kAtBlock, site);
  block.votes += predicate;
  if (++block.waiting == block.threads.size()) {
    block.waiting = 0;
    block.last_votes = block.votes;
    block.votes = 0;
    pass(block);
  }
  suspend();
  return static_cast<int>(block.last_votes);
}

void grid_barrier(Site site) {
  Grid& grid = current->block->grid;
  if (!grid.launch.cooperative) {
    fail(name_of(*current) + " waits for its grid at " + where(site) + ", in a launch that is not cooperative");
  }
  come_to(State::kAtGrid, site);
  if (++grid.waiting == grid.threads) {
    grid.waiting = 0;
    ++grid.epoch;
    grid.nodes = {};
    for (Block& block : grid.blocks) pass(block);
  }
  suspend();
}

}  // namespace emulator
