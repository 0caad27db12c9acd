// Vectorized loops over rows of fp32 numbers.
#pragma once

#include <cstdint>

namespace sslfast {

// Returns max_i x_i, NaN passed over; the lowest float for an empty row.
float maximum(const float* x, int64_t size);

// Counts the x_i that are greater than `threshold`; NaN is not, and nothing is greater than NaN.
int64_t count_above(const float* x, int64_t size, float threshold);

// mark_i = 1 if x_i is `least` or greater, else 0.
void mark_from(uint8_t* mark, const float* x, int64_t size, float least);

// x_i = max(x_i, y_i), NaN in y passed over.
void raise_to(float* x, int64_t size, const float* y);

// x = 2^(scale (x - top)), where no x exceeds top; returns the sum.
float powers(float* x, int64_t size, float scale, float top);

// x = a x
void scale_by(float* x, int64_t size, float a);

// x = x y, number by number; returns the maximum, NaN passed over, or -infinity.
float multiply(float* x, const float* y, int64_t size);

// x = x + a y
void add_scaled(float* x, int64_t size, float a, const float* y);

// Returns sum_i x_i y_i.
float dot(const float* x, const float* y, int64_t size);

}  // namespace sslfast
