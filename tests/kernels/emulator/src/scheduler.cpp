// Runs the threads of a launch in an order that a seed decides, each until it waits or returns.
#include <algorithm>
#include <mutex>
#include <numeric>
#include <random>

#include "defect.h"
#include "grid.h"
#include "races.h"
#include "settings.h"

namespace emulator {

Settings settings;

namespace {

using Random = std::minstd_rand;

void run_threads(Grid& grid, Random& random) {
  while (grid.returned < grid.threads) {
    if (grid.ready.empty()) throw Defect(grid.launch.kernel + (": " + deadlock(grid)));
    if (settings.seed != 0) std::swap(grid.ready.front(), grid.ready[random() % grid.ready.size()]);
    current = grid.ready.front();
    grid.ready.pop_front();
    current->fiber->resume();
    current = nullptr;
    if (!grid.failure.empty()) throw Defect(grid.launch.kernel + (": " + grid.failure));
  }
}

}  // namespace

void run_grid(const Launch& launch) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  races.clear();
  Random random(settings.seed);
  std::vector<uint32_t> order(volume(launch.grid));
  std::iota(order.begin(), order.end(), 0);
  if (settings.seed != 0) std::shuffle(order.begin(), order.end(), random);
  if (launch.cooperative) {
    Grid grid(launch);
    for (const uint32_t number : order) grid.blocks.emplace_back(grid, number);
    run_threads(grid, random);
  } else {
    for (const uint32_t number : order) {
      Grid grid(launch);
      grid.blocks.emplace_back(grid, number);
      run_threads(grid, random);
    }
  }
  races.clear();
}

}  // namespace emulator
