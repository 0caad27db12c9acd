// The barriers of a block and of a grid.
#pragma once

#include "emulator/thread.h"

namespace emulator {

// Waits for all threads of the block; returns how many of them came with a predicate that holds.
int block_barrier(Site site, bool predicate = false);

// Waits for all threads of the grid, which must be of a cooperative launch.
void grid_barrier(Site site);

}  // namespace emulator

inline void __syncthreads(emulator::Site site = emulator::Site::current()) { emulator::block_barrier(site); }

inline int __syncthreads_count(int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::block_barrier(site, predicate != 0);
}

inline int __syncthreads_or(int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::block_barrier(site, predicate != 0) > 0;
}

inline int __syncthreads_and(int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::block_barrier(site, predicate == 0) == 0;
}

// One thread runs at a time, and each sees at once what the others wrote.
inline void __threadfence_block() {}
inline void __threadfence() {}
