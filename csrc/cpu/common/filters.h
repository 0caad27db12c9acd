// Filters that mix neighboring pixels: resizing and blurring.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/common/pixels.h"

namespace sslfast {

// A part of an image, in pixels.
struct Box {
  int64_t top, left, height, width;
};

// One axis of a resize: output i is the sum of weight[i * count + t] * input[first[i] + t] over t < count.
struct Taps {
  int64_t count;
  std::vector<int64_t> first;
  std::vector<float> weight;
};

// Crops an image of levels, rows of `image_width` pixels with red, green and blue in turns, and resizes it to
// (size, size), into [0, 1].
class Resizer {
 public:
  void operator()(
      const uint8_t* image, int64_t image_width, const Box& box, bool flip, int64_t size, const Pixels& out);

 private:
  Taps rows_, columns_;
  std::vector<float> row_;
};

// Blurs planes of (size, size), in place, with a Gaussian in a window of 2 radius + 1 pixels and reflected borders.
class Blur {
 public:
  void operator()(float* plane, int64_t size, int64_t radius, float sigma);

 private:
  std::vector<float> weight_, padded_, blurred_;
  std::vector<const float*> rows_;
};

}  // namespace sslfast
