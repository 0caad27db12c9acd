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
  const int64_t players = blocks | 1;  // an odd number: an even one has a player more, who is not there
  const int64_t meetings = (blocks + 1) / 2;
  for (int64_t round = 0; round < players; ++round) {
    // Whoever would meet that player rests: no task, so that threads with equally many have equal work.
    const int64_t rest = players == blocks ? meetings : std::min(blocks - round, round + 1);
    for_each_task(meetings, [&](int64_t task) {
      const int64_t away = task < rest ? task : task + 1;
      const int64_t a = (round + away) % players, b = (round + players - away) % players;
      meet(std::min(a, b), std::max(a, b));
    });
  }
}

}  // namespace sslfast
