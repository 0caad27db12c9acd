// Operations on single pixels of an image. Images are three planes of fp32 numbers in [0, 1]; each operation equals
// the one of torchvision.transforms.v2.functional.
#pragma once

#include <cstdint>

#include "cpu/common/half.h"

namespace sslfast {

// Some pixels of an image, one after the other.
struct Pixels {
  float *red, *green, *blue;
  int64_t count;

  Pixels part(int64_t begin, int64_t size) const { return {red + begin, green + begin, blue + begin, size}; }
};

// Fills the pixels from levels, red, green and blue in turns.
void load_levels(const Pixels& x, const uint8_t* levels);

void adjust_brightness(const Pixels& x, float factor);
void adjust_contrast(const Pixels& x, float factor, float mean);
void adjust_saturation(const Pixels& x, float factor);
void adjust_hue(const Pixels& x, float shift);  // in turns of the color wheel
void grayscale(const Pixels& x);
void solarize(const Pixels& x);

// Returns the sum of the pixels' grays.
double sum_of_gray(const Pixels& x);

// The map a * pixel + b, channel by channel.
struct Affine {
  float a[3], b[3];
};

// Writes the pixels, mapped, with red, green and blue in turns.
void store_pixels(const Pixels& x, const Affine& map, float* out);
void store_pixels(const Pixels& x, const Affine& map, Half* out);
void store_pixels(const Pixels& x, const Affine& map, BFloat16* out);

}  // namespace sslfast
