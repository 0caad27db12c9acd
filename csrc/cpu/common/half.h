// Conversions from fp16 and bf16 to fp32 and back, written so that loops over them vectorize: whole-number arithmetic,
// no branches. Rounding is to nearest even, as torch's.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <bit>
#include <cstdint>
#include <type_traits>

namespace sslfast {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

// `condition ? a : b` that the compiler cannot turn back into a branch around the arithmetic of a and b.
inline uint32_t select(bool condition, uint32_t a, uint32_t b) {
  const uint32_t mask = -static_cast<uint32_t>(condition);
  return (a & mask) | (b & ~mask);
}

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }

inline float widen(BFloat16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16); }

inline float widen(Half x) {
  const uint32_t magnitude = x.x & 0x7fffu;
  const uint32_t rebiased = (magnitude << 13) + (112u << 23);  // fp32's exponent bias is larger by 112
  const uint32_t normal = rebiased + select(magnitude < 0x7c00u, 0, 112u << 23);  // or infinity, NaN
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t bits = select(magnitude < 0x0400u, std::bit_cast<uint32_t>(subnormal), normal);
  return std::bit_cast<float>((x.x & 0x8000u) << 16 | bits);
}

inline BFloat16 to_bfloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return BFloat16(static_cast<uint16_t>(select(is_nan, 0x7fc0u, rounded)), BFloat16::from_bits());
}

inline Half to_half(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  // Adding 1/2 leaves x, rounded, in units of 2^-24, fp16's smallest, in the low bits.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - (126u << 23);
  const uint32_t finite = select(magnitude < (113u << 23), subnormal, normal);
  const uint32_t special = select(magnitude > 0x7f800000u, 0x7e00u, 0x7c00u);  // NaN, infinity
  const uint32_t half = (bits >> 16 & 0x8000u) | select(magnitude < (143u << 23), finite, special);
  return Half(static_cast<uint16_t>(half), Half::from_bits());
}

// Converts from fp32 or fp64; fp64 goes to the 16-bit types by way of fp32.
template <class T, class Wide>
inline T narrow(Wide x) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, Half>) {
    return to_half(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

}  // namespace sslfast
