// ema_update_ on the GPU: one launch over up to 1024 pairs, which are its argument (see multi_tensor.cuh).

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "common/ema_pairs.h"
#include "cuda/common/launch.cuh"
#include "cuda/common/multi_tensor.cuh"

namespace sslfast {
namespace {

constexpr int64_t kChunk = 8192;        // elements a block; a multiple of any vector's
constexpr int kBlocksPerProcessor = 5;  // 40 KB of loads under way; with 6, sm_120 spills

template <int kCapacity>
struct Table {
  void* target[kCapacity];
  const void* source[kCapacity];
  int64_t count[kCapacity];
  uint32_t chunks_end[kCapacity];  // chunks of this pair and of those before it
  Type target_type[kCapacity];
  Type source_type[kCapacity];
  Number momentum;
  int pairs;
};

constexpr int kFew = 128, kMany = 1024;
static_assert(sizeof(Table<kFew>) <= kFewBytes && sizeof(Table<kMany>) <= kManyBytes);

// k <- k + (1 - m)(q - k) over a chunk, in fp32, or fp64 if either type is.
template <class K, class Q>
__device__ __forceinline__ void average_chunk(
    void* target, const void* source, int64_t begin, int count, double momentum) {
  using Wide = std::conditional_t<std::is_same_v<K, double> || std::is_same_v<Q, double>, double, float>;
  const Wide weight = static_cast<Wide>(1 - momentum);
  if (weight == 0) return;
  K* k = static_cast<K*>(target) + begin;
  const Q* q = static_cast<const Q*>(source) + begin;

  constexpr int kN = kVectorBytes / (sizeof(K) < sizeof(Q) ? sizeof(K) : sizeof(Q));
  int done = 0;
  if ((reinterpret_cast<uintptr_t>(k) | reinterpret_cast<uintptr_t>(q)) % kVectorBytes == 0) {
    auto* vectors_k = reinterpret_cast<Vector<K, kN>*>(k);
    const auto* vectors_q = reinterpret_cast<const Vector<Q, kN>*>(q);
    const int vectors = count / kN;
    for (int i = threadIdx.x; i < vectors; i += kThreads) {
      Vector<K, kN> old = vectors_k[i];
      const Vector<Q, kN> now = vectors_q[i];
#pragma unroll
      for (int n = 0; n < kN; ++n) old.at[n] = average(old.at[n], now.at[n], weight);
      vectors_k[i] = old;
    }
    done = vectors * kN;
  }
  for (int i = done + threadIdx.x; i < count; i += kThreads) k[i] = average(k[i], q[i], weight);
}

template <class K>
__device__ __forceinline__ void average_into(
    void* target, const void* source, Type source_type, int64_t begin, int count, double momentum) {
  switch (source_type) {
    case Type::kFloat:
      return average_chunk<K, float>(target, source, begin, count, momentum);
    case Type::kBFloat16:
      return average_chunk<K, BFloat16>(target, source, begin, count, momentum);
    case Type::kHalf:
      return average_chunk<K, Half>(target, source, begin, count, momentum);
    default:
      return average_chunk<K, double>(target, source, begin, count, momentum);
  }
}

template <int kCapacity>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    update_kernel(const __grid_constant__ Table<kCapacity> table) {
  const int i = tensor_of(blockIdx.x, table.chunks_end, table.pairs);
  const uint32_t first = i == 0 ? 0 : table.chunks_end[i - 1];
  const int64_t begin = (blockIdx.x - first) * kChunk, left = table.count[i] - begin;
  const int count = static_cast<int>(left < kChunk ? left : kChunk);
  void* target = table.target[i];
  const void* source = table.source[i];
  const Type source_type = table.source_type[i];
  const double m = read(table.momentum);
  switch (table.target_type[i]) {
    case Type::kFloat:
      return average_into<float>(target, source, source_type, begin, count, m);
    case Type::kBFloat16:
      return average_into<BFloat16>(target, source, source_type, begin, count, m);
    case Type::kHalf:
      return average_into<Half>(target, source, source_type, begin, count, m);
    case Type::kDouble:
      return average_into<double>(target, source, source_type, begin, count, m);
    case Type::kByte:  // m = 0: a copy, whatever the bytes mean
      return average_chunk<uint8_t, uint8_t>(target, source, begin, count, 0);
  }
}

template <int kCapacity>
void launch(const EmaPair* pairs, size_t count, const Number& momentum, const LaunchScope& scope) {
  Table<kCapacity> table;
  uint32_t chunks = 0;  // no memory is large enough to overflow it, or the grid
  for (size_t i = 0; i < count; ++i) {
    chunks += static_cast<uint32_t>((pairs[i].count + kChunk - 1) / kChunk);
    table.target[i] = pairs[i].target;
    table.source[i] = pairs[i].source;
    table.count[i] = pairs[i].count;
    table.chunks_end[i] = chunks;
    table.target_type[i] = type_of(pairs[i].target_type);
    table.source_type[i] = type_of(pairs[i].source_type);
  }
  table.momentum = momentum;
  table.pairs = static_cast<int>(count);
  update_kernel<kCapacity><<<chunks, kThreads, 0, scope.stream>>>(table);
  scope.check();
}

void ema_update_(
    const std::vector<Tensor>& targets, const std::vector<Tensor>& sources, double momentum,
    const std::optional<Tensor>& momentum_tensor) {
  if (targets.empty()) return;
  const LaunchScope scope(targets[0]);
  const Number m = number_of(momentum, momentum_tensor);
  EmaPairs lists(targets, sources, /*averages=*/m.device != nullptr || m.value != 1);
  const std::vector<EmaPair>& pairs = lists.pairs();
  for (size_t i = 0; i < pairs.size(); i += kMany) {
    const size_t count = std::min<size_t>(kMany, pairs.size() - i);
    (count <= kFew ? launch<kFew> : launch<kMany>)(pairs.data() + i, count, m, scope);
  }
  lists.write_back();
}

}  // namespace
}  // namespace sslfast

STABLE_TORCH_LIBRARY_IMPL(sslfast, CUDA, library) {
  library.impl("ema_update_.cuda", TORCH_BOX(&sslfast::ema_update_));
}
