// The GPU that is imitated, and the order in which it runs its threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

struct Settings {
  uint32_t seed = 0;  // 0: in ascending order; else at random
  int processors = 4;
  int shared_bytes = 232448;     // that a block may ask for, as on sm_90
  int blocks_per_processor = 2;  // at a time, if their threads and shared memory allow as many
  int usable_processors = 4;     // on which this process's blocks run, as in a partition of the GPU
  bool cooperative = true;       // whether it has cooperative launches
};

extern Settings settings;

// The stream that launches must name; none in programs without torch.
extern void* current_stream;

constexpr int kMaxThreads = 1024;  // of a block
constexpr int kThreadsPerProcessor = 2048;
constexpr int kDefaultSharedBytes = 48 << 10;  // of a block, unless cudaFuncSetAttribute grants its kernel more
constexpr int kStaticSharedBytes = 16 << 10;   // for variables, of every kernel: what it declares shows as it runs

}  // namespace emulator
