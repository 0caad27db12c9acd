// The passes over a share for scores of any size: each takes its exponentials anew, relative to maxima. With
// c = log2(e)/eps and t_k = max_b S_bk,
//
//   Q_bk = 2^x_bk / sum_j 2^x_bj,  x_bk = c (S_bk - t_k) + f_k
//
// where f_k = -log2 sum_b 2^(c (S_bk - t_k)) at first, and f_k - log2 sum_b Q_bk from then on.
#pragma once

#include <cmath>

#include "cuda/sinkhorn_knopp/share.cuh"

namespace sslfast::sinkhorn {

// Sums the columns' powers of scores, relative to each column's maximum. Leaves out the rows without codes, which
// `take_powers` has found.
template <class T, int V>
__device__ void columns_of_scores(const Share<T, V>& share) {
  for (int k = threadIdx.x; k < share.vectors; k += kThreads) {
    PowerSum powers[V];
    for (int i = 0; i < share.count; ++i) {
      if (isnan(share.row(i).factor)) continue;
      const Vector<T, V> values = share.scores(i)[k];
#pragma unroll
      for (int v = 0; v < V; ++v) {
        powers[v].add(Vector<float, 1>{{static_cast<float>(values.at[v])}}, share.p.scale);
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) share.partial(k)[v] = powers[v];
  }
}

// Vector k of a row's x.
template <class T, int V>
__device__ Vector<float, V> exponents(const Share<T, V>& share, const Vector<T, V>& scores,
                                      const Vector<float, V>& t, const Vector<float, V>& f) {
  Vector<float, V> x;
#pragma unroll
  for (int v = 0; v < V; ++v) x.at[v] = (static_cast<float>(scores.at[v]) - t.at[v]) * share.p.scale + f.at[v];
  return x;
}

// Finds each row's maximum of x and its factor, and if this is the last pass writes its codes.
template <class T, int V>
__device__ void rows_of_exponentials(const Share<T, V>& share, bool last) {
  const int lane = threadIdx.x % kWarp;
  for (int i = threadIdx.x / kWarp; i < share.count; i += kWarps) {
    const Vector<T, V>* const row = share.scores(i);
    const auto x = [&](int k) {
      return exponents(share, row[k], share.numbers(share.p.t, k), share.numbers(share.p.f, k));
    };
    PowerSum powers;
    for (int k = lane; k < share.vectors; k += kWarp) powers.add(x(k), 1);
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      powers.merge({__shfl_xor_sync(kAll, powers.top, offset), __shfl_xor_sync(kAll, powers.sum, offset)}, 1);
    }
    const float factor = powers.sum > 0 ? 1 / powers.sum : NAN;
    if (last) {
      auto* const to = share.codes(i);
      for (int k = lane; k < share.vectors; k += kWarp) {
        Vector<float, V> q = x(k);
#pragma unroll
        for (int v = 0; v < V; ++v) q.at[v] = exp2f(q.at[v] - powers.top) * factor;
        to[k] = q;
      }
    } else if (lane == 0) {
      share.row(i) = {powers.top, factor};
    }
  }
  __syncthreads();
}

// Sums the columns of Q.
template <class T, int V>
__device__ void columns_of_exponentials(const Share<T, V>& share) {
  for (int k = threadIdx.x; k < share.vectors; k += kThreads) {
    const auto t = share.numbers(share.p.t, k), f = share.numbers(share.p.f, k);
    Vector<float, V> sums{};
    for (int i = 0; i < share.count; ++i) {
      const Row of = share.row(i);
      if (isnan(of.factor)) continue;
      const Vector<float, V> x = exponents(share, share.scores(i)[k], t, f);
#pragma unroll
      for (int v = 0; v < V; ++v) sums.at[v] += exp2f(x.at[v] - of.top) * of.factor;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) share.partial(k)[v].sum = sums.at[v];
  }
}

}  // namespace sslfast::sinkhorn
