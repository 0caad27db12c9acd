// What the blocks learn from one another: whether the powers of all fit, and the sums of the columns over all
// rows, added in a fixed order, so that the result is the same bits each time. Of the sums come v (see
// products.cuh), or t and f (see exponentials.cuh).
#pragma once

#include <cstdint>

#include "cuda/sinkhorn_knopp/problem.cuh"

namespace sslfast::sinkhorn {

template <class T>
__device__ bool all_fit(const Problem<T>& p) {
  bool fits = true;
  for (int block = threadIdx.x % kWarp; block < gridDim.x; block += kWarp) fits &= p.fits[block] != 0;
  return __all_sync(kAll, fits);
}

// Adds the blocks' columns, and makes v of them, or t and f. Each block takes tiles of 32 columns.
template <class T>
__device__ void merge_columns(const Problem<T>& p, bool start, bool fits) {
  __shared__ PowerSum tile[kWarps][kWarp + 1];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kWarp; first < p.prototypes;
       first += static_cast<int64_t>(gridDim.x) * kWarp) {
    const int64_t k = first + lane;
    PowerSum powers;
    if (k < p.prototypes) {
      for (int block = warp; block < gridDim.x; block += kWarps) {
        const PowerSum part = p.partial[block * static_cast<int64_t>(p.prototypes) + k];
        if (start) {
          powers.merge(part, p.scale);
        } else {
          powers.sum += part.sum;
        }
      }
    }
    tile[warp][lane] = powers;
    __syncthreads();
    if (warp == 0 && k < p.prototypes) {
      for (int i = 1; i < kWarps; ++i) {
        if (start) {
          powers.merge(tile[i][lane], p.scale);
        } else {
          powers.sum += tile[i][lane].sum;
        }
      }
      const float sum = powers.sum > 0 ? powers.sum : 1;  // nothing is in an empty column, whatever its scale
      if (fits) {
        p.v[k] = (start ? 1 : p.v[k]) / sum;
      } else {
        if (start) p.t[k] = powers.top;
        p.f[k] = (start ? 0 : p.f[k]) - log2f(sum);
      }
    }
    __syncthreads();
  }
}

}  // namespace sslfast::sinkhorn
