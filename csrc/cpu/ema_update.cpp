// ema_update_ on the CPU: all pairs in one parallel region, each thread an equal share of all elements.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include "cpu/common/average.h"
#include "cpu/common/half.h"
#include "cpu/common/simd.h"

#define SSLFAST_INLINE __attribute__((always_inline)) inline  // into every version that SSLFAST_SIMD compiles

namespace sslfast {
namespace {

template <class K, class Q>
SSLFAST_INLINE void average_as(K* k, const Q* q, int64_t count, double momentum) {
  using Wide = std::conditional_t<std::is_same_v<K, double> || std::is_same_v<Q, double>, double, float>;
  if (momentum == 0) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) k[i] = narrow<K>(static_cast<Wide>(widen(q[i])));
    return;
  }
  const Wide weight = static_cast<Wide>(1 - momentum);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const Wide old = widen(k[i]);
    k[i] = narrow<K>(old + weight * (static_cast<Wide>(widen(q[i])) - old));
  }
}

template <class K>
SSLFAST_INLINE void average_into(const EmaPair& pair, double momentum) {
  K* const k = static_cast<K*>(pair.target);
  switch (pair.source_type) {
    case ScalarType::Float:
      return average_as(k, static_cast<const float*>(pair.source), pair.count, momentum);
    case ScalarType::BFloat16:
      return average_as(k, static_cast<const BFloat16*>(pair.source), pair.count, momentum);
    case ScalarType::Half:
      return average_as(k, static_cast<const Half*>(pair.source), pair.count, momentum);
    default:
      return average_as(k, static_cast<const double*>(pair.source), pair.count, momentum);
  }
}

// Returns the bytes of an element.
int64_t bytes(ScalarType type) {
  switch (type) {
    case ScalarType::Float:
      return sizeof(float);
    case ScalarType::Double:
      return sizeof(double);
    case ScalarType::Byte:
      return 1;
    default:
      return sizeof(Half);
  }
}

}  // namespace

SSLFAST_SIMD void average(const EmaPair& pair, double momentum) {
  switch (pair.target_type) {
    case ScalarType::Float:
      return average_into<float>(pair, momentum);
    case ScalarType::BFloat16:
      return average_into<BFloat16>(pair, momentum);
    case ScalarType::Half:
      return average_into<Half>(pair, momentum);
    case ScalarType::Double:
      return average_into<double>(pair, momentum);
    default:
      std::memmove(pair.target, pair.source, pair.count);
  }
}

EmaPair slice(const EmaPair& pair, int64_t begin, int64_t count) {
  return {static_cast<char*>(pair.target) + begin * bytes(pair.target_type),
          static_cast<const char*>(pair.source) + begin * bytes(pair.source_type), count, pair.target_type,
          pair.source_type};
}

void ema_update_(
    const std::vector<Tensor>& targets, const std::vector<Tensor>& sources, double momentum,
    const std::optional<Tensor>& momentum_tensor) {
  const double m = number(momentum, momentum_tensor);
  EmaPairs lists(targets, sources, /*averages=*/m != 1);
  const std::vector<EmaPair>& pairs = lists.pairs();

  std::vector<int64_t> ends;  // of each pair, in elements counted over all pairs
  ends.reserve(pairs.size());
  int64_t total = 0;
  for (const EmaPair& pair : pairs) ends.push_back(total += pair.count);

  torch::stable::parallel_for(0, total, kGrain, [&](int64_t begin, int64_t end) {
    size_t i = std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin();
    for (; begin < end; ++i) {
      const int64_t stop = std::min(end, ends[i]);
      average(slice(pairs[i], begin - (ends[i] - pairs[i].count), stop - begin), m);
      begin = stop;
    }
  });
  lists.write_back();
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("ema_update_.cpp", TORCH_BOX(&ema_update_)); }

}  // namespace sslfast
