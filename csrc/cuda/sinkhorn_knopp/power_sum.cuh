// A sum of powers of 2 that no size of its exponents overflows: they are taken relative to the largest.
#pragma once

#include "cuda/common/vector.cuh"

namespace sslfast::sinkhorn {

constexpr float kLowest = -3e38f;  // below every score; finite, so that a column of -inf gives 0 and not inf - inf

// The largest of numbers x, and the sum of 2^(scale (x - top)).
struct PowerSum {
  float top = kLowest;
  float sum = 0;

  template <int V>
  __device__ void add(const Vector<float, V>& x, float scale) {
    float new_top = top;
#pragma unroll
    for (int v = 0; v < V; ++v) new_top = fmaxf(new_top, x.at[v]);
    if (new_top > top) {
      sum *= exp2f((top - new_top) * scale);
      top = new_top;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) sum += exp2f((x.at[v] - top) * scale);
  }

  __device__ void merge(PowerSum other, float scale) {
    const float new_top = fmaxf(top, other.top);
    sum = sum * exp2f((top - new_top) * scale) + other.sum * exp2f((other.top - new_top) * scale);
    top = new_top;
  }
};

}  // namespace sslfast::sinkhorn
