// The passes over a share that only multiply and add: with c = log2(e)/eps and the powers E_bk = 2^(c S_bk) taken
// once,
//
//   Q_bk = u_b E_bk v_k,  u_b = 1 / sum_k E_bk v_k
//
// where v_k = 1 / sum_b E_bk at first, and v_k / sum_b Q_bk from then on.
//
// They are right as long as no E v leaves fp32. Columns of Q sum to 1/K to B, so that v_k is within B^-n 2^-A to
// K^(n - 1) 2^A after n iterations, if all |c S_bk| <= A. `most_bits` takes from this the A up to which rows of
// E v have sums in fp32; `take_powers` compares the scores with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cuda/sinkhorn_knopp/share.cuh"

namespace sslfast::sinkhorn {

// Returns the A up to which all sums of rows of E v are within 2^-126 to 2^126; below 0 if there is none.
inline float most_bits(int64_t samples, int64_t prototypes, int64_t iterations) {
  const double most = static_cast<double>(std::max(samples, prototypes));
  return static_cast<float>((126 - static_cast<double>(iterations) * std::log2(most)) / 2);
}

// Takes the powers E, 0 in rows without codes, and finds out which rows those are. Returns whether the share's E
// fit: whether all its |c S| are at most A.
template <class T, int V>
__device__ bool take_powers(const Share<T, V>& share) {
  using Numbers = typename Share<T, V>::Numbers;
  const Problem<T>& p = share.p;
  bool fits = true;
  share.template for_each_row<1>(threadIdx.x / kWarp, kWarps, [&](int i, Numbers* row) {
    const Vector<T, V>* const from = share.scores(i);
    bool bad = false, any = false, wide = false;
    share.for_each_vector([&](int k) { return from[k]; }, [&](int k, const Vector<T, V>& values) {
      Numbers powers;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float score = static_cast<float>(values.at[v]), bits = score * p.scale;
        bad |= !(score < INFINITY);
        any |= score > -INFINITY;
        wide |= fabsf(bits) > p.most_bits && score > -INFINITY;
        powers.at[v] = exp2f(bits);
      }
      row[k] = powers;
    });
    const int lane = threadIdx.x % kWarp;
    const bool has_codes = !__any_sync(kAll, bad) && __any_sync(kAll, any);
    if (has_codes) {
      fits &= !wide;
    } else {
      for (int k = lane; k < share.vectors; k += kWarp) row[k] = {};
    }
    if (lane == 0) share.row(i).factor = has_codes ? 1.0f : NAN;
  });
  return __syncthreads_and(fits);
}

// Sums the columns of E.
template <class T, int V>
__device__ void columns_of_powers(const Share<T, V>& share) {
  using Numbers = typename Share<T, V>::Numbers;
  for (int k = threadIdx.x; k < share.vectors; k += kThreads) {
    Numbers sums{};
    share.template for_each_row<kAhead>(0, 1, [&](int, const Numbers* row) {
      const Numbers powers = row[k];
#pragma unroll
      for (int v = 0; v < V; ++v) sums.at[v] += powers.at[v];
    });
#pragma unroll
    for (int v = 0; v < V; ++v) share.partial(k)[v] = sums.at[v] > 0 ? PowerSum{0, sums.at[v]} : PowerSum{};
  }
}

// Finds each row's factor from E and v, and if this is the last pass writes its codes.
template <class T, int V>
__device__ void rows_of_products(const Share<T, V>& share, bool last) {
  using Numbers = typename Share<T, V>::Numbers;
  share.template for_each_row<1>(threadIdx.x / kWarp, kWarps, [&](int i, const Numbers* row) {
    const auto products = [&](int k) {
      Numbers products = row[k];
      const Numbers factors = share.numbers(share.p.v, k);
#pragma unroll
      for (int v = 0; v < V; ++v) products.at[v] *= factors.at[v];
      return products;
    };
    float sum = 0;
    share.for_each_vector(products, [&](int, const Numbers& values) {
#pragma unroll
      for (int v = 0; v < V; ++v) sum += values.at[v];
    });
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAll, sum, offset);
    const float factor = sum > 0 ? 1 / sum : NAN;
    if (last) {
      Numbers* const to = share.codes(i);
      share.for_each_vector(products, [&](int k, Numbers q) {
#pragma unroll
        for (int v = 0; v < V; ++v) q.at[v] *= factor;
        to[k] = q;
      });
    } else if (threadIdx.x % kWarp == 0) {
      share.row(i).factor = factor;
    }
  });
  __syncthreads();
}

// Sums the columns of Q, which are E v times the rows' factors.
template <class T, int V>
__device__ void columns_of_products(const Share<T, V>& share) {
  using Numbers = typename Share<T, V>::Numbers;
  for (int k = threadIdx.x; k < share.vectors; k += kThreads) {
    Numbers sums{};
    share.template for_each_row<kAhead>(0, 1, [&](int i, const Numbers* row) {
      const float factor = share.row(i).factor;
      const float weight = isnan(factor) ? 0 : factor;
      const Numbers powers = row[k];
#pragma unroll
      for (int v = 0; v < V; ++v) sums.at[v] += powers.at[v] * weight;
    });
    const Numbers factors = share.numbers(share.p.v, k);
#pragma unroll
    for (int v = 0; v < V; ++v) share.partial(k)[v].sum = sums.at[v] * factors.at[v];
  }
}

}  // namespace sslfast::sinkhorn
