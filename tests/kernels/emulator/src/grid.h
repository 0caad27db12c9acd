// The threads that run at the same time, and where each of them waits.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <source_location>
#include <string>
#include <vector>

#include "emulator/launch.h"
#include "emulator/thread.h"
#include "fiber.h"
#include "shared_memory.h"

namespace emulator {

struct Block;
struct Grid;

enum class State { kReady, kAtWarp, kAtBlock, kAtGrid, kReturned };

// Nodes of the search for races (see races.h), for plain and for atomic accesses; 0: none yet since the last barrier.
using Nodes = std::array<uint32_t, 2>;

struct Thread {
  Block* block;
  unsigned number;  // in its block, x fastest
  uint3 index;
  Fiber* fiber;
  State state = State::kReady;
  Site site{};  // of the barrier or the operation of its warp that it came to last
  // For an operation of its warp: what it gives, and what it gets.
  unsigned mask = 0, votes = 0;
  int source = 0;
  bool vote = false;
  uint64_t given = 0, received = 0;
  Nodes nodes{};
};

// An operation of a warp to which not all lanes of its mask have come.
struct Meeting {
  unsigned mask, arrived;
  Site site;
};

struct Warp {
  std::vector<Meeting> meetings;
  uint32_t epoch = 0;  // barriers passed
  Nodes nodes{};
};

struct Block {
  Block(Grid& grid, uint32_t number);

  Grid& grid;
  const uint32_t number;  // in its grid, x fastest
  const uint3 index;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  SharedMemory shared;
  const Thread* first_waiting = nullptr;
  unsigned waiting = 0, votes = 0, last_votes = 0;  // at the barrier to come; those of the last barrier
  uint32_t epoch = 0;                               // barriers passed
  Nodes nodes{};
};

// All blocks of a cooperative launch, or one block of another.
struct Grid {
  explicit Grid(const Launch& launch);

  const Launch& launch;
  const std::function<void()> task;  // of each thread
  std::deque<Block> blocks;
  std::deque<Thread*> ready;
  size_t threads = 0, waiting = 0, returned = 0;
  uint32_t epoch = 0;  // barriers passed
  Nodes nodes{};
  std::string failure;  // the defect that a thread found
};

// The thread that runs; null where the host's code does.
extern constinit thread_local Thread* current __attribute__((tls_model("initial-exec")));

// The thread that runs comes to a place where it waits for others, and, once it has seen to what it owes them, suspends
// itself until somebody has woken it.
void come_to(State state, const Site& site);
void suspend();
void wake(Thread& thread);

inline size_t volume(const dim3& size) { return static_cast<size_t>(size.x) * size.y * size.z; }

bool is_same(const Site& a, const Site& b);

// Why no thread is ready, although some have not returned.
std::string deadlock(const Grid& grid);

// Runs all blocks to their end, and throws the Defect that it finds.
void run_grid(const Launch& launch);

}  // namespace emulator
