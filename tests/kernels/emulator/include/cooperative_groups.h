// The groups of a cooperative launch.
#pragma once

#include "emulator/barriers.h"

namespace cooperative_groups {

struct grid_group {
  void sync(emulator::Site site = emulator::Site::current()) const { emulator::grid_barrier(site); }
};

struct thread_block {
  void sync(emulator::Site site = emulator::Site::current()) const { emulator::block_barrier(site); }
};

inline grid_group this_grid() { return {}; }
inline thread_block this_thread_block() { return {}; }

}  // namespace cooperative_groups
