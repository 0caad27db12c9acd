#include "cpu/common/filters.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "cpu/common/simd.h"

namespace sslfast {
namespace {

// Fills in antialiased bilinear interpolation: output i is centered at (i + 1/2) scale, scale = extent / size; its
// weights are a triangle about that, of half-width max(scale, 1), cut off at the ends and normalized to a sum of
// `total`.
void fill(Taps& taps, int64_t extent, int64_t size, float total) {
  const float scale = static_cast<float>(extent) / static_cast<float>(size), half_width = std::max(scale, 1.0f);
  taps.count = std::min<int64_t>(extent, static_cast<int64_t>(std::ceil(2 * half_width)));
  taps.first.resize(size);
  taps.weight.resize(size * taps.count);
  for (int64_t i = 0; i < size; ++i) {
    const float center = (static_cast<float>(i) + 0.5f) * scale;
    const auto reached = static_cast<int64_t>(std::floor(center - half_width + 0.5f));
    const int64_t first = std::clamp<int64_t>(reached, 0, extent - taps.count);
    float* const weight = taps.weight.data() + i * taps.count;
    float sum = 0.0f;
    for (int64_t t = 0; t < taps.count; ++t) {
      const float distance = static_cast<float>(first + t) + 0.5f - center;
      weight[t] = std::max(1.0f - std::abs(distance) / half_width, 0.0f);
      sum += weight[t];
    }
    for (int64_t t = 0; t < taps.count; ++t) weight[t] *= total / sum;
    taps.first[i] = first;
  }
}

// out = sum_t weight[t] * in[t * stride ...]
SSLFAST_SIMD void mix_rows(
    float* out, const uint8_t* in, int64_t stride, const float* weight, int64_t taps, int64_t size) {
#pragma omp simd
  for (int64_t k = 0; k < size; ++k) out[k] = weight[0] * in[k];
  for (int64_t t = 1; t < taps; ++t) {
    const uint8_t* const row = in + t * stride;
    const float w = weight[t];
#pragma omp simd
    for (int64_t k = 0; k < size; ++k) out[k] += w * row[k];
  }
}

// Makes a row of pixels out of one with red, green and blue in turns, which may be read one number beyond its end.
SSLFAST_SIMD void mix_pixels(const Pixels& out, const float* row, const Taps& taps, bool flip) {
  const int64_t step = flip ? -1 : 1, start = flip ? out.count - 1 : 0;
  for (int64_t i = 0; i < out.count; ++i) {
    const float* const pixel = row + 3 * taps.first[i];
    const float* const weight = taps.weight.data() + i * taps.count;
    float sum[4] = {};  // four numbers are one register: the last is of no use
    for (int64_t t = 0; t < taps.count; ++t) {
#pragma omp simd
      for (int64_t c = 0; c < 4; ++c) sum[c] += weight[t] * pixel[3 * t + c];
    }
    const int64_t at = start + step * i;
    out.red[at] = sum[0], out.green[at] = sum[1], out.blue[at] = sum[2];
  }
}

// out = weight[0] * row[0] + sum_k weight[k] * (row[k] + row[-k]), two k at a time.
SSLFAST_SIMD void mix_pairs(float* out, const float* const* row, const float* weight, int64_t radius, int64_t size) {
  const float* const center = row[0];
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) out[i] = weight[0] * center[i];
  for (int64_t k = 1; k <= radius; k += 2) {
    const int64_t next = std::min(k + 1, radius);
    const float near_weight = weight[k], far_weight = next > k ? weight[next] : 0.0f;
    const float *a = row[k], *b = row[-k], *c = row[next], *d = row[-next];
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) out[i] += near_weight * (a[i] + b[i]) + far_weight * (c[i] + d[i]);
  }
}

// Folds a position back into the plane: -i is i, size - 1 + i is size - 1 - i.
int64_t reflect(int64_t i, int64_t size) { return size - 1 - std::abs(size - 1 - std::abs(i)); }

}  // namespace

void Resizer::operator()(
    const uint8_t* image, int64_t image_width, const Box& box, bool flip, int64_t size, const Pixels& out) {
  fill(rows_, box.height, size, 1.0f / 255);
  fill(columns_, box.width, size, 1.0f);
  row_.resize(3 * box.width + 1);
  const uint8_t* const corner = image + 3 * (box.top * image_width + box.left);
  for (int64_t i = 0; i < size; ++i) {
    const uint8_t* const first = corner + 3 * rows_.first[i] * image_width;
    const float* const weight = rows_.weight.data() + i * rows_.count;
    mix_rows(row_.data(), first, 3 * image_width, weight, rows_.count, 3 * box.width);
    mix_pixels(out.part(i * size, size), row_.data(), columns_, flip);
  }
}

void Blur::operator()(float* plane, int64_t size, int64_t radius, float sigma) {
  weight_.resize(radius + 1);
  float sum = 0.0f;
  for (int64_t k = 0; k <= radius; ++k) {
    const float distance = static_cast<float>(k) / sigma;
    weight_[k] = std::exp(-0.5f * distance * distance);
    sum += k ? 2 * weight_[k] : weight_[k];
  }
  for (float& weight : weight_) weight /= sum;

  padded_.resize(size + 2 * radius);
  blurred_.resize(size * size);
  rows_.resize(2 * radius + 1);
  const float** const row = rows_.data() + radius;
  for (int64_t k = -radius; k <= radius; ++k) row[k] = padded_.data() + radius + k;
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = -radius; x < size + radius; ++x) padded_[radius + x] = plane[y * size + reflect(x, size)];
    mix_pairs(blurred_.data() + y * size, row, weight_.data(), radius, size);
  }
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t k = -radius; k <= radius; ++k) row[k] = blurred_.data() + reflect(y + k, size) * size;
    mix_pairs(plane + y * size, row, weight_.data(), radius, size);
  }
}

}  // namespace sslfast
