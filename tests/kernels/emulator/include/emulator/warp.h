// Operations of a warp: shuffles, votes, and its barrier.
#pragma once

#include <cstdint>
#include <cstring>

#include "emulator/thread.h"

namespace emulator {

int lane();

// Gives `bits` to the lanes of `mask`, which all must call it, and returns what lane `source` gave.
uint64_t shuffle(unsigned mask, uint64_t bits, int source, Site site);

// Waits for the lanes of `mask`; returns those of them whose predicate holds.
unsigned ballot(unsigned mask, bool predicate, Site site);

// Waits for the lanes of `mask`, and orders their accesses to memory, which the two others do not.
void warp_barrier(unsigned mask, Site site);

template <class T>
T shuffle_value(unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline int first_of_segment(int width) { return lane() / width * width; }

// `source`, or the own lane where that lies outside of the segment of `width` lanes.
inline int within_segment(int source, int width) {
  const int first = first_of_segment(width);
  return source < first || source >= first + width ? lane() : source;
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, emulator::Site site = emulator::Site::current()) {
  const int wrapped = static_cast<int>(static_cast<unsigned>(source) % static_cast<unsigned>(width));
  return emulator::shuffle_value(mask, value, emulator::first_of_segment(width) + wrapped, site);
}

template <class T>
T __shfl_up_sync(
    unsigned mask, T value, unsigned delta, int width = 32, emulator::Site site = emulator::Site::current()) {
  const int source = emulator::lane() - static_cast<int>(delta);
  return emulator::shuffle_value(mask, value, emulator::within_segment(source, width), site);
}

template <class T>
T __shfl_down_sync(
    unsigned mask, T value, unsigned delta, int width = 32, emulator::Site site = emulator::Site::current()) {
  const int source = emulator::lane() + static_cast<int>(delta);
  return emulator::shuffle_value(mask, value, emulator::within_segment(source, width), site);
}

template <class T>
T __shfl_xor_sync(
    unsigned mask, T value, int lanes, int width = 32, emulator::Site site = emulator::Site::current()) {
  const int source = emulator::lane() ^ lanes;  // may be of a segment before its own, but of none behind it
  const bool behind = source >= emulator::first_of_segment(width) + width;
  return emulator::shuffle_value(mask, value, behind ? emulator::lane() : source, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, site);
}

inline int __any_sync(unsigned mask, int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate != 0, site) != 0;
}

inline int __all_sync(unsigned mask, int predicate, emulator::Site site = emulator::Site::current()) {
  return emulator::ballot(mask, predicate == 0, site) == 0;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, emulator::Site site = emulator::Site::current()) {
  emulator::warp_barrier(mask, site);
}
