#include "grid.h"

#include <cstdio>
#include <cstring>

#include "defect.h"

namespace emulator {
namespace {

uint3 index_of(size_t number, const dim3& size) {
  return {static_cast<unsigned>(number % size.x), static_cast<unsigned>(number / size.x % size.y),
          static_cast<unsigned>(number / size.x / size.y)};
}

}  // namespace

constinit thread_local Thread* current = nullptr;

uint3 thread_index() { return current->index; }
uint3 block_index() { return current->block->index; }

uint3 block_size() {
  const dim3& size = current->block->grid.launch.block;
  return {size.x, size.y, size.z};
}

uint3 grid_size() {
  const dim3& size = current->block->grid.launch.grid;
  return {size.x, size.y, size.z};
}

Grid::Grid(const Launch& launch)
    : launch(launch), task([&launch] {
        launch.thread();
        current->state = State::kReturned;
        ++current->block->grid.returned;
      }) {}

Block::Block(Grid& grid, uint32_t number)
    : grid(grid), number(number), index(index_of(number, grid.launch.grid)), shared(grid.launch.dynamic_bytes) {
  const dim3& size = grid.launch.block;
  const size_t count = volume(size);
  warps.resize((count + warpSize - 1) / warpSize);
  threads.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Fiber& own = fiber(grid.threads++);
    own.begin(&grid.task);
    wake(threads.emplace_back(
        Thread{.block = this, .number = static_cast<unsigned>(i), .index = index_of(i, size), .fiber = &own}));
  }
}

void come_to(State state, const Site& site) {
  current->state = state;
  current->site = site;
}

void wake(Thread& thread) {
  thread.state = State::kReady;
  thread.block->grid.ready.push_back(&thread);
}

void suspend() { current->fiber->suspend(); }

bool is_same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string where(const Site& site) { return site.file_name() + (":" + std::to_string(site.line())); }

std::string name_of(const Thread& thread) {
  return "block " + std::to_string(thread.block->number) + ", thread " + std::to_string(thread.number);
}

std::string hex(unsigned mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

void fail(const std::string& what) {
  current->block->grid.failure = what;
  for (;;) suspend();
}

}  // namespace emulator
