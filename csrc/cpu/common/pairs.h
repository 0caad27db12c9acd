// A loop over threads through all pairs of blocks, for sums over pairs that go to both partners.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/common/parallel.h"

namespace sslfast {

// Calls meet(i, j) once for all i <= j below `blocks`, in rounds as of a tournament: no block meets two others in
// one round. So what belongs to a block has one writer at a time, and in an order that depends on `blocks` alone.
template <class Meet>
void for_each_pair(int64_t blocks, const Meet& meet) {
  const int64_t players = blocks | 1;  // an odd number; who would meet a player that is not there rests
  for (int64_t round = 0; round < players; ++round) {
    for_each_task((players + 1) / 2, [&](int64_t task) {
      const int64_t a = (round + task) % players, b = (round + players - task) % players;
      if (std::max(a, b) < blocks) meet(std::min(a, b), std::max(a, b));
    });
  }
}

}  // namespace sslfast
