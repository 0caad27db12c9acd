// A block's share of the rows, and how its warps and threads walk over it.
#pragma once

#include <cstdint>

#include "cuda/common/vector.cuh"
#include "cuda/sinkhorn_knopp/problem.cuh"

namespace sslfast::sinkhorn {

constexpr int kAhead = 4;  // numbers that a thread reads before it uses the first

// The rows are in vectors of V columns: of one, where a row has no whole number of longer ones.
template <class T, int V>
struct Share {
  using Numbers = Vector<float, V>;

  const Problem<T>& p;
  Numbers* resident;  // in shared memory
  int64_t first;      // row
  int count;          // rows
  int vectors;        // of a row

  __device__ const Vector<T, V>* scores(int i) const {
    return reinterpret_cast<const Vector<T, V>*>(p.scores) + (first + i) * vectors;
  }

  __device__ Numbers* codes(int i) const { return reinterpret_cast<Numbers*>(p.codes) + (first + i) * vectors; }

  __device__ Row& row(int i) const { return p.rows[first + i]; }

  // Vector k of t, f or v.
  __device__ Numbers numbers(const float* columns, int k) const {
    return reinterpret_cast<const Numbers*>(columns)[k];
  }

  // The block's sums of the columns of vector k.
  __device__ PowerSum* partial(int k) const {
    return p.partial + static_cast<int64_t>(blockIdx.x) * p.prototypes + k * V;
  }

  // Calls visit(i, E of row i) for every `step`-th row from `begin` on, for `ahead` of them at a time. A loop for
  // the rows in shared memory and one for the others: an address that may be of either memory costs more
  // instructions than the number that is read.
  template <int ahead, class Visit>
  __device__ void for_each_row(int begin, int step, const Visit& visit) const {
    const int last_resident = min(count, p.resident_rows);
    int i = begin;
#pragma unroll ahead
    for (; i < last_resident; i += step) visit(i, resident + static_cast<int64_t>(i) * vectors);
#pragma unroll ahead
    for (; i < count; i += step) visit(i, codes(i));
  }

  // Calls use(k, get(k)) for the lane's vectors k of a row. Several are read before the first is used, which may
  // write.
  template <class Get, class Use>
  __device__ void for_each_vector(const Get& get, const Use& use) const {
    for (int k = threadIdx.x % kWarp; k < vectors; k += kAhead * kWarp) {
      decltype(get(k)) values[kAhead];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        if (k + a * kWarp < vectors) values[a] = get(k + a * kWarp);
      }
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        if (k + a * kWarp < vectors) use(k + a * kWarp, values[a]);
      }
    }
  }
};

}  // namespace sslfast::sinkhorn
