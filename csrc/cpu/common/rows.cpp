#include "cpu/common/rows.h"

#include <cstdint>
#include <limits>

#include "cpu/common/simd.h"

namespace sslfast {

SSLFAST_SIMD float maximum(const float* x, int64_t size) {
  float result = std::numeric_limits<float>::lowest();
#pragma omp simd reduction(max : result)
  for (int64_t i = 0; i < size; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

SSLFAST_SIMD int64_t count_above(const float* x, int64_t size, float threshold) {
  int32_t count = 0;  // as wide as x_i
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < size; ++i) count += x[i] > threshold;
  return count;
}

SSLFAST_SIMD void mark_from(uint8_t* mark, const float* x, int64_t size, float least) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) mark[i] = x[i] >= least;
}

SSLFAST_SIMD void raise_to(float* x, int64_t size, const float* y) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) x[i] = y[i] > x[i] ? y[i] : x[i];
}

SSLFAST_SIMD float powers(float* x, int64_t size, float scale, float top) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) {
    x[i] = exp2_nonpositive((x[i] - top) * scale);
    sum += x[i];
  }
  return sum;
}

SSLFAST_SIMD void scale_by(float* x, int64_t size, float a) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) x[i] *= a;
}

SSLFAST_SIMD float multiply(float* x, const float* y, int64_t size) {
  float result = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : result)
  for (int64_t i = 0; i < size; ++i) {
    x[i] *= y[i];
    result = x[i] > result ? x[i] : result;
  }
  return result;
}

SSLFAST_SIMD void add_scaled(float* x, int64_t size, float a, const float* y) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) x[i] += a * y[i];
}

SSLFAST_SIMD float dot(const float* x, const float* y, int64_t size) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace sslfast
