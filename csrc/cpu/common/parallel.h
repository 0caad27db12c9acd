// Loops over threads whose results do not depend on how many threads there are.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

namespace sslfast {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls task(i) for i below `tasks`, each on one thread, matrix products within it included.
template <class Task>
void for_each_task(int64_t tasks, const Task& task) {
  // A loop of one turn would run outside of a parallel region, where a matrix product takes threads of its own and
  // rounds differently with their number: so there are two turns at least.
  torch::stable::parallel_for(0, std::max<int64_t>(tasks, 2), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < std::min(end, tasks); ++i) task(i);
  });
}

constexpr int64_t kPowerCost = 8;  // of exp2_nonpositive, in additions

// Calls row(i) for i below `rows`, each about `cost` additions, which contains no matrix product: few cheap rows
// are not worth a second thread.
template <class Row>
void for_each_row(int64_t rows, int64_t cost, const Row& row) {
  constexpr int64_t worth_a_thread = 1 << 15;  // additions
  const int64_t grain = worth_a_thread / std::max<int64_t>(cost, 1) + 1;
  torch::stable::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) row(i);
  });
}

}  // namespace sslfast
