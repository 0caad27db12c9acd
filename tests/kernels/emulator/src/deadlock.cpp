#include "defect.h"
#include "grid.h"

namespace emulator {
namespace {

std::string doing(const Thread& thread) {
  switch (thread.state) {
    case State::kReturned:
      return name_of(thread) + " has returned";
    case State::kAtWarp:
      return name_of(thread) + " waits for its warp at " + where(thread.site) + " with mask " + hex(thread.mask);
    case State::kAtBlock:
      return name_of(thread) + " waits for its block at " + where(thread.site);
    default:
      return name_of(thread) + " waits for its grid at " + where(thread.site);
  }
}

// Whether the thread waits for the other one, which is not where it should come to.
bool misses(const Thread& thread, const Thread& other) {
  switch (thread.state) {
    case State::kAtWarp:
      return thread.block == other.block && thread.number / warpSize == other.number / warpSize &&
             (thread.mask >> other.number % warpSize & 1) != 0 &&
             (other.state != State::kAtWarp || other.mask != thread.mask || !is_same(other.site, thread.site));
    case State::kAtBlock:
      return thread.block == other.block && other.state != State::kAtBlock;
    default:
      return other.state != State::kAtGrid;
  }
}

}  // namespace

std::string deadlock(const Grid& grid) {
  for (const State state : {State::kAtWarp, State::kAtBlock, State::kAtGrid}) {  // the narrowest is the cause
    for (const Block& block : grid.blocks) {
      for (const Thread& thread : block.threads) {
        if (thread.state != state) continue;
        for (const Block& others : grid.blocks) {
          for (const Thread& other : others.threads) {
            if (misses(thread, other)) return doing(thread) + ", but " + doing(other);
          }
        }
      }
    }
  }
  return "all threads wait";
}

}  // namespace emulator
