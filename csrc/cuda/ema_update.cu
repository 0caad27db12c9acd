// ema_update_ on the GPU: one launch over all pairs, which are passed as the kernel's argument.
//
// The argument holds pointers and lengths of up to 1024 pairs (sm_70 and later take 32764 bytes of arguments), so
// that there is no table in device memory to build, to copy or to keep in step with addresses, and a CUDA graph
// replays the launch as it was recorded. Each block updates one chunk of one pair, found by binary search.

#include <torch/csrc/stable/library.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "cuda/launch.cuh"
#include "ema_pairs.h"

namespace sslfast {
namespace {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

constexpr int kThreads = 256;
constexpr int64_t kChunk = 8192;  // elements a block; a multiple of any vector's
constexpr int kVectorBytes = 16;
constexpr int kBlocksPerProcessor = 5;  // 40 KB of loads under way; with 6, sm_120 spills

enum class Type : uint8_t { kFloat, kBFloat16, kHalf, kDouble, kByte };

// The momentum, known to the host or only to the device.
struct Momentum {
  double value;
  const void* device;  // to be read in place of `value`, if not null
  bool device_is_double;
};

template <int kCapacity>
struct Table {
  void* target[kCapacity];
  const void* source[kCapacity];
  int64_t count[kCapacity];
  uint32_t chunks_end[kCapacity];  // chunks of this pair and of those before it
  Type target_type[kCapacity];
  Type source_type[kCapacity];
  Momentum momentum;
  int pairs;
};

constexpr int kFew = 128;  // within 4 KB, which any launch copies anyway
constexpr int kMany = 1024;
static_assert(sizeof(Table<kFew>) <= 4096 && sizeof(Table<kMany>) <= 32764);

template <class T, int N>
struct alignas(kVectorBytes) Vector {
  T at[N];
};

template <class K, class Q, class Wide>
__device__ __forceinline__ K average(K k, Q q, Wide weight) {
  const Wide old = static_cast<Wide>(k), now = static_cast<Wide>(q);
  return static_cast<K>(weight == 1 ? now : old + weight * (now - old));  // 1 copies, even over a NaN
}

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

__device__ __forceinline__ double read(const Momentum& momentum) {
  if (momentum.device == nullptr) return momentum.value;
  return momentum.device_is_double ? *static_cast<const double*>(momentum.device)
                                   : *static_cast<const float*>(momentum.device);
}

template <int kCapacity>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    update_kernel(const __grid_constant__ Table<kCapacity> table) {
  int low = 0, high = table.pairs - 1;  // the first pair whose chunks end after this block's
  while (low < high) {
    const int middle = (low + high) / 2;
    if (table.chunks_end[middle] <= blockIdx.x) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const uint32_t first = low == 0 ? 0 : table.chunks_end[low - 1];
  const int64_t begin = (blockIdx.x - first) * kChunk, left = table.count[low] - begin;
  const int count = static_cast<int>(left < kChunk ? left : kChunk);
  void* target = table.target[low];
  const void* source = table.source[low];
  const Type source_type = table.source_type[low];
  const double m = read(table.momentum);
  switch (table.target_type[low]) {
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

Type type_of(ScalarType type) {
  switch (type) {
    case ScalarType::Float:
      return Type::kFloat;
    case ScalarType::BFloat16:
      return Type::kBFloat16;
    case ScalarType::Half:
      return Type::kHalf;
    case ScalarType::Double:
      return Type::kDouble;
    default:
      return Type::kByte;
  }
}

template <int kCapacity>
void launch(const EmaPair* pairs, size_t count, const Momentum& momentum, const LaunchScope& scope) {
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

// A momentum tensor on the CPU is read here, at once; one on the GPU only by the kernel.
Momentum momentum_of(double value, const std::optional<Tensor>& tensor) {
  if (!tensor) return {value, nullptr, false};
  const bool is_double = tensor->scalar_type() == ScalarType::Double;
  const void* data = tensor->data_ptr();
  if (tensor->is_cuda()) return {0, data, is_double};
  return {is_double ? *static_cast<const double*>(data) : *static_cast<const float*>(data), nullptr, false};
}

void ema_update_(
    const std::vector<Tensor>& targets, const std::vector<Tensor>& sources, double momentum,
    const std::optional<Tensor>& momentum_tensor) {
  if (targets.empty()) return;
  const LaunchScope scope(targets[0]);
  const Momentum m = momentum_of(momentum, momentum_tensor);
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
