#include "races.h"

#include <algorithm>

#include "defect.h"

namespace emulator {

Races races;

void Races::clear() {
  nodes_.resize(1);
  pages_.clear();
  std::fill(std::begin(recent_), std::end(recent_), std::decay_t<decltype(recent_[0])>{});
}

void Races::Page::split() {
  std::vector<Cell> narrow(kBytes);
  for (size_t i = 0; i < kBytes; ++i) narrow[i] = cells[i / cell_bytes];
  cells = std::move(narrow);
  cell_bytes = 1;
}

Races::Page* Races::find(uintptr_t number) {
  auto& recent = recent_[number % std::size(recent_)];
  if (recent.number != number || recent.page == nullptr) {
    const auto found = pages_.find(number);
    if (found == pages_.end()) return nullptr;
    recent = {number, found->second.get()};
  }
  return recent.page;
}

Races::Page& Races::page(uintptr_t number) {
  if (Page* known = find(number)) return *known;
  return *(pages_[number] = std::make_unique<Page>());
}

void Races::forget(const void* begin, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(begin), end = first + bytes;
  for (uintptr_t at = first; at < end;) {
    const uintptr_t stop = std::min(end, (at / Page::kBytes + 1) * Page::kBytes);
    if (Page* known = find(at / Page::kBytes)) {
      const auto cells = known->cells.begin() + static_cast<ptrdiff_t>(at % Page::kBytes / known->cell_bytes);
      std::fill_n(cells, (stop - at) / known->cell_bytes, Cell{});
    }
    at = stop;
  }
}

void Races::access(Thread& thread, const void* address, size_t bytes, Access kind) {
  const SharedMemory& shared = thread.block->shared;
  const bool is_shared = shared.contains(address);
  if (is_shared && !shared.allows(address, bytes)) {
    fail(name_of(thread) + " touches " + std::to_string(bytes) + " bytes outside of its shared memory, of which " +
         std::to_string(shared.dynamic_bytes()) + " bytes are dynamic");
  }
  auto at = reinterpret_cast<uintptr_t>(address);
  const uintptr_t end = at + bytes;
  while (at < end) {
    Page& of = page(at / Page::kBytes);
    if (of.cell_bytes > 1 && (at % of.cell_bytes != 0 || end % of.cell_bytes != 0)) of.split();
    const uintptr_t stop = std::min(end, (at / Page::kBytes + 1) * Page::kBytes);
    for (; at < stop; at += of.cell_bytes) {
      Cell& cell = of.cells[at % Page::kBytes / of.cell_bytes];
      if (is_shared && cell.write == 0 && kind != Access::kWrite) {
        fail(name_of(thread) + " reads shared memory that nobody has written");
      }
      touch(thread, cell, address, bytes, kind);
    }
  }
}

void Races::touch(Thread& thread, Cell& cell, const void* address, size_t bytes, Access kind) {
  const bool is_atomic = kind == Access::kAtomic;
  const bool both_atomic = is_atomic && nodes_[cell.write].is_atomic;
  if (!both_atomic && !is_before(cell.write, thread)) report(thread, address, bytes, kind, cell.write, "wrote");
  if (kind == Access::kRead) {
    cell.read = joined(thread, cell.read, false);
    return;
  }
  if (!is_before(cell.read, thread)) report(thread, address, bytes, kind, cell.read, "read");
  cell.write = is_atomic ? joined(thread, cell.write, true) : node(thread, Scope::kThread, false);
}

// Whether a barrier, or the order of the thread's own program, puts the node's accesses before what it does now.
bool Races::is_before(uint32_t earlier, const Thread& thread) const {
  if (earlier == 0) return true;
  const Node& node = nodes_[earlier];
  const Block& block = *thread.block;
  if (node.grid_epoch != block.grid.epoch) return true;
  if (node.scope == Scope::kGrid || node.block != block.number) return false;
  if (node.block_epoch != block.epoch) return true;
  if (node.scope == Scope::kBlock || node.warp != thread.number / warpSize) return false;
  if (node.warp_epoch != block.warps[node.warp].epoch) return true;
  return node.scope == Scope::kThread && node.thread == thread.number;
}

// A node for what `earlier` stands for, as far as it still matters, and for the thread's access.
uint32_t Races::joined(Thread& thread, uint32_t earlier, bool is_atomic) {
  if (is_before(earlier, thread)) return node(thread, Scope::kThread, is_atomic);
  const Node& of = nodes_[earlier];
  Scope scope = of.scope;
  if (of.block != thread.block->number) {
    scope = Scope::kGrid;
  } else if (scope < Scope::kBlock) {
    scope = of.warp == thread.number / warpSize ? Scope::kWarp : Scope::kBlock;
  }
  return node(thread, scope, is_atomic);
}

uint32_t Races::node(Thread& thread, Scope scope, bool is_atomic) {
  Block& block = *thread.block;
  Warp& warp = block.warps[thread.number / warpSize];
  Nodes& nodes = scope == Scope::kThread  ? thread.nodes
                 : scope == Scope::kWarp  ? warp.nodes
                 : scope == Scope::kBlock ? block.nodes
                                          : block.grid.nodes;
  uint32_t& node = nodes[is_atomic];
  if (node == 0) {
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({scope, is_atomic, block.grid.epoch, block.number, block.epoch, thread.number / warpSize,
                      warp.epoch, thread.number});
  }
  return node;
}

std::string Races::name(const Node& node) const {
  const std::string block = "block " + std::to_string(node.block);
  switch (node.scope) {
    case Scope::kThread:
      return block + ", thread " + std::to_string(node.thread);
    case Scope::kWarp:
      return "several threads of " + block + ", warp " + std::to_string(node.warp);
    case Scope::kBlock:
      return "several threads of " + block;
    default:
      return "threads of several blocks";
  }
}

void Races::report(const Thread& thread, const void* address, size_t bytes, Access kind, uint32_t earlier,
                   const char* did) const {
  const char* const does = kind == Access::kRead ? " reads " : kind == Access::kWrite ? " writes " : " changes ";
  const bool is_shared = thread.block->shared.contains(address);
  fail(name_of(thread) + does + std::to_string(bytes) + " bytes of " + (is_shared ? "shared" : "global") +
       " memory that " + name(nodes_[earlier]) + " " + did + ", with no barrier between" +
       (thread.site.line() == 0 ? "" : "; it came last to " + where(thread.site)));
}

}  // namespace emulator
