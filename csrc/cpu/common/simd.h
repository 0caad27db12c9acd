// Loops that the compiler vectorizes for the CPU the program finds itself on, and exp2 for use in them.
#pragma once

#include <bit>
#include <cstdint>

// A function so marked is compiled for AVX-512, for AVX2 with FMA, and for any x86-64; what the CPU at hand runs
// best is chosen when the module loads. On ARM the baseline is wide enough.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && __GNUC__ >= 12
#define SSLFAST_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SSLFAST_SIMD
#endif

namespace sslfast {

// 2^x for x <= 0, relative error below 3e-7; 0 below x = -126. NaN gives NaN.
__attribute__((always_inline)) inline float exp2_nonpositive(float x) {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  const float shifted = x + shift;
  const float f = x - (shifted - shift);  // in [-1/2, 1/2]
  // Taylor coefficients ln(2)^n / n!: the relative remainder is below 1.7e-7.
  float p = 1.5403530e-4f;
  p = p * f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  const uint32_t result = std::bit_cast<uint32_t>(p * std::bit_cast<float>(exponent));
  // A mask: the compiler would turn a choice between floats into a branch, and not vectorize the loop.
  return std::bit_cast<float>(result & -static_cast<uint32_t>(!(x < -126.0f)));
}

}  // namespace sslfast
