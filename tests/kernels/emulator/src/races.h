// The search for accesses to memory that no barrier orders: every access of a kernel is compared with what is known
// of those before it, so that a missing barrier shows in whatever order the threads ran.
//
// The kernels are compiled with -fsanitize=thread, which makes of each access a call (see hooks.cpp); no library of
// that sanitizer is linked. Built otherwise, nothing is looked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "grid.h"

namespace emulator {

enum class Access { kRead, kWrite, kAtomic };

class Races {
 public:
  // Forgets everything: between launches, which are ordered.
  void clear();

  // Forgets accesses to memory that is given to another block.
  void forget(const void* begin, size_t bytes);

  // Compares an access by `thread`, the one that runs, with those before it, and fails where no barrier orders them.
  void access(Thread& thread, const void* address, size_t bytes, Access kind);

 private:
  enum class Scope : uint8_t { kThread, kWarp, kBlock, kGrid };

  // Accesses of one thread between two barriers; or of several in a warp, a block or the grid. The numbers of the
  // barriers passed by each of these tell whether a later access comes after a barrier.
  struct Node {
    Scope scope;
    bool is_atomic;
    uint32_t grid_epoch, block, block_epoch, warp, warp_epoch, thread;
  };

  // What is known of some bytes: the node of their last write, and that of the reads that may still matter; 0: none.
  struct Cell {
    uint32_t write = 0, read = 0;
  };

  // Cells for 4 bytes each until an access is narrower, then for one byte each.
  struct Page {
    static constexpr size_t kBytes = 4096;
    size_t cell_bytes = 4;
    std::vector<Cell> cells{kBytes / 4};

    void split();
  };

  Page* find(uintptr_t number);
  Page& page(uintptr_t number);
  void touch(Thread& thread, Cell& cell, const void* address, size_t bytes, Access kind);
  uint32_t node(Thread& thread, Scope scope, bool is_atomic);
  uint32_t joined(Thread& thread, uint32_t earlier, bool is_atomic);
  bool is_before(uint32_t earlier, const Thread& thread) const;
  std::string name(const Node& node) const;
  [[noreturn]] void report(const Thread& thread, const void* address, size_t bytes, Access kind, uint32_t earlier,
                           const char* did) const;

  std::vector<Node> nodes_{1};
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  struct {
    uintptr_t number = 0;
    Page* page = nullptr;
  } recent_[1024];  // by number modulo their count
};

extern Races races;

}  // namespace emulator
