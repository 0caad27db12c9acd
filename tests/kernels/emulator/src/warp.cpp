#include "emulator/warp.h"

#include <algorithm>

#include "defect.h"
#include "grid.h"

namespace emulator {
namespace {

int lanes_of(const Block& block, unsigned warp) {
  return static_cast<int>(std::min<size_t>(warpSize, block.threads.size() - warp * warpSize));
}

// The lanes of `mask` have all come: gives each what it is to receive, and lets them go on.
void complete(Block& block, unsigned number, unsigned mask, bool orders_memory) {
  Thread* const lanes = &block.threads[number * warpSize];
  const int count = lanes_of(block, number);
  unsigned votes = 0, done = 0;
  for (int i = 0; i < count; ++i) {
    votes |= static_cast<unsigned>(mask >> i & 1 && lanes[i].vote) << i;
    done |= static_cast<unsigned>(lanes[i].state == State::kReturned) << i;
  }
  for (int i = 0; i < count; ++i) {
    if ((mask >> i & 1) == 0) continue;
    lanes[i].votes = votes;
    lanes[i].received = lanes[lanes[i].source].given;
    wake(lanes[i]);
  }
  // Only a barrier of the whole warp is taken to order accesses: the search for races does not know narrower ones.
  if (!orders_memory || (mask | done) != (count == warpSize ? ~0u : (1u << count) - 1)) return;
  Warp& warp = block.warps[number];
  ++warp.epoch;
  warp.nodes = {};
  for (int i = 0; i < count; ++i) lanes[i].nodes = {};
}

// Waits until all lanes of `mask` have come to the same place with the same mask.
void meet(unsigned mask, const Site& site, bool orders_memory) {
  Block& block = *current->block;
  const unsigned number = current->number / warpSize;
  const int count = lanes_of(block, number);
  if ((mask >> lane() & 1) == 0) {
    fail(name_of(*current) + " comes to " + where(site) + ", whose mask " + hex(mask) + " leaves its lane out");
  }
  if (count < warpSize && mask >> count != 0) {
    fail(name_of(*current) + " comes to " + where(site) + ", whose mask " + hex(mask) + " names lanes beyond the " +
         std::to_string(count) + " of its warp");
  }
  come_to(State::kAtWarp, site);
  current->mask = mask;
  std::vector<Meeting>& meetings = block.warps[number].meetings;
  auto meeting = std::find_if(meetings.begin(), meetings.end(), [&](const Meeting& other) {
    return other.mask == mask && is_same(other.site, site);
  });
  if (meeting == meetings.end()) meeting = meetings.insert(meeting, {mask, 0, site});
  meeting->arrived |= 1u << lane();
  if (meeting->arrived == mask) {
    meetings.erase(meeting);
    complete(block, number, mask, orders_memory);
  }
  suspend();
}

}  // namespace

int lane() { return static_cast<int>(current->number % warpSize); }

uint64_t shuffle(unsigned mask, uint64_t bits, int source, Site site) {
  if ((mask >> source & 1) == 0) {
    fail(name_of(*current) + " reads lane " + std::to_string(source) + " at " + where(site) + ", which its mask " +
         hex(mask) + " leaves out");
  }
  current->given = bits;
  current->source = source;
  meet(mask, site, /*orders_memory=*/false);
  return current->received;
}

unsigned ballot(unsigned mask, bool predicate, Site site) {
  current->vote = predicate;
  current->source = lane();
  meet(mask, site, /*orders_memory=*/false);
  return current->votes;
}

void warp_barrier(unsigned mask, Site site) {
  current->source = lane();
  meet(mask, site, /*orders_memory=*/true);
}

}  // namespace emulator
