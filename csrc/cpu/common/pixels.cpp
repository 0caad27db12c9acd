#include "cpu/common/pixels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "cpu/common/simd.h"

namespace sslfast {
namespace {

inline float clamp(float x) { return std::min(std::max(x, 0.0f), 1.0f); }

// Returns ITU-R 601 luma, with torchvision's digits.
inline float gray(float red, float green, float blue) { return 0.2989f * red + 0.587f * green + 0.114f * blue; }

inline float choose(bool condition, float a, float b) {
  return std::bit_cast<float>(select(condition, std::bit_cast<uint32_t>(a), std::bit_cast<uint32_t>(b)));
}

// factor * x + (1 - factor) * other
inline float blend(float x, float factor, float other) { return clamp(factor * x + other * (1 - factor)); }

inline float solarized(float x) { return choose(x >= 128.0f / 255, 1 - x, x); }

// value - chroma * clamp(2 - |d|), d from the nearest multiple of 6 to the hue, in sixths of a turn. The clamp is
// applied last: before an operation it would become a branch.
inline float channel(float value, float lowest, float hue) {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float turns = (hue * (1.0f / 6) + shift) - shift;
  const float x = value - (value - lowest) * (2 - std::abs(hue - 6 * turns));
  return std::min(std::max(x, lowest), value);
}

template <class T>
__attribute__((always_inline)) inline void store_as(const Pixels& x, const Affine& map, T* out) {
  const auto [a0, a1, a2] = map.a;
  const auto [b0, b1, b2] = map.b;
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    out[3 * i] = narrow<T>(a0 * x.red[i] + b0);
    out[3 * i + 1] = narrow<T>(a1 * x.green[i] + b1);
    out[3 * i + 2] = narrow<T>(a2 * x.blue[i] + b2);
  }
}

}  // namespace

SSLFAST_SIMD void load_levels(const Pixels& x, const uint8_t* levels) {
  constexpr float unit = 1.0f / 255;
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    x.red[i] = unit * levels[3 * i];
    x.green[i] = unit * levels[3 * i + 1];
    x.blue[i] = unit * levels[3 * i + 2];
  }
}

SSLFAST_SIMD void adjust_brightness(const Pixels& x, float factor) {
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    x.red[i] = clamp(factor * x.red[i]);
    x.green[i] = clamp(factor * x.green[i]);
    x.blue[i] = clamp(factor * x.blue[i]);
  }
}

SSLFAST_SIMD void adjust_contrast(const Pixels& x, float factor, float mean) {
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    x.red[i] = blend(x.red[i], factor, mean);
    x.green[i] = blend(x.green[i], factor, mean);
    x.blue[i] = blend(x.blue[i], factor, mean);
  }
}

SSLFAST_SIMD void adjust_saturation(const Pixels& x, float factor) {
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    const float luma = gray(x.red[i], x.green[i], x.blue[i]);
    x.red[i] = blend(x.red[i], factor, luma);
    x.green[i] = blend(x.green[i], factor, luma);
    x.blue[i] = blend(x.blue[i], factor, luma);
  }
}

// In HSV (hexcone), value and saturation kept. A channel is value - chroma * clamp(min(k, 4 - k)) with
// k = (n + h) mod 6, h the hue in sixths of a turn and n = 5, 3, 1 for red, green, blue; here in terms of k - 2.
SSLFAST_SIMD void adjust_hue(const Pixels& x, float shift) {
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    const float red = x.red[i], green = x.green[i], blue = x.blue[i];
    const float value = std::max(std::max(red, green), blue), lowest = std::min(std::min(red, green), blue);
    const bool is_red = value == red, is_green = value == green;
    const float next = is_red ? green : is_green ? blue : red;
    const float last = is_red ? blue : is_green ? red : green;
    const float sector = is_red ? 0.0f : is_green ? 2.0f : 4.0f;
    // Where all three are equal the hue does not matter.
    const float hue = sector + (next - last) / std::max(value - lowest, 1e-12f) + 6 * shift;
    x.red[i] = channel(value, lowest, hue + 3);
    x.green[i] = channel(value, lowest, hue + 1);
    x.blue[i] = channel(value, lowest, hue - 1);
  }
}

SSLFAST_SIMD void grayscale(const Pixels& x) {
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    x.red[i] = x.green[i] = x.blue[i] = gray(x.red[i], x.green[i], x.blue[i]);
  }
}

SSLFAST_SIMD void solarize(const Pixels& x) {
#pragma omp simd
  for (int64_t i = 0; i < x.count; ++i) {
    x.red[i] = solarized(x.red[i]);
    x.green[i] = solarized(x.green[i]);
    x.blue[i] = solarized(x.blue[i]);
  }
}

// In fp64: over a plain area, rounding to fp32 would go the same way at each pixel.
SSLFAST_SIMD double sum_of_gray(const Pixels& x) {
  const auto [red, green, blue, count] = x;
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += gray(red[i], green[i], blue[i]);
  return sum;
}

SSLFAST_SIMD void store_pixels(const Pixels& x, const Affine& map, float* out) { store_as(x, map, out); }
SSLFAST_SIMD void store_pixels(const Pixels& x, const Affine& map, Half* out) { store_as(x, map, out); }
SSLFAST_SIMD void store_pixels(const Pixels& x, const Affine& map, BFloat16* out) { store_as(x, map, out); }

}  // namespace sslfast
