// Building blocks of kernels over many tensors in one launch. Their argument is a table of pointers and lengths (sm_70
// and later take 32764 bytes of arguments), so that there is none in device memory to build, to copy or to keep in
// step with addresses, and a CUDA graph replays the launch as it was recorded. Each block works on one chunk of one
// tensor, which it finds by binary search.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <optional>

#include "common/flat_tensors.h"
#include "cuda/common/vector.cuh"

namespace sslfast __attribute__((visibility("hidden"))) {  // as torch::stable::Tensor is

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

constexpr int kThreads = 256;
constexpr size_t kFewBytes = 4096;  // of a table that any launch copies anyway
constexpr size_t kManyBytes = 32764;

enum class Type : uint8_t { kFloat, kBFloat16, kHalf, kDouble, kByte };

inline Type type_of(ScalarType type) {
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

// A number, known to the host or only to the device.
struct Number {
  double value;
  const void* device;  // to be read in place of `value`, if not null
  bool device_is_double;
};

// A tensor on the CPU is read here, at once; one on the GPU only by the kernel.
inline Number number_of(double value, const std::optional<Tensor>& tensor) {
  if (!tensor) return {value, nullptr, false};
  const bool is_double = tensor->scalar_type() == ScalarType::Double;
  const void* data = tensor->data_ptr();
  if (tensor->is_cuda()) return {0, data, is_double};
  return {is_double ? *static_cast<const double*>(data) : *static_cast<const float*>(data), nullptr, false};
}

__device__ __forceinline__ double read(const Number& number) {
  if (number.device == nullptr) return number.value;
  return number.device_is_double ? *static_cast<const double*>(number.device)
                                 : *static_cast<const float*>(number.device);
}

// Returns the first of `tensors` whose chunks end after the given one; `ends` counts the chunks of a tensor and those
// before.
__device__ __forceinline__ int tensor_of(uint32_t chunk, const uint32_t* ends, int tensors) {
  int low = 0, high = tensors - 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (ends[middle] <= chunk) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class T, int N>
__device__ __forceinline__ void load_as(float (&out)[N], const void* data, int64_t at) {
  const auto in = *reinterpret_cast<const Vector<T, N>*>(static_cast<const T*>(data) + at);
#pragma unroll
  for (int n = 0; n < N; ++n) out[n] = static_cast<float>(in.at[n]);
}

// Reads N elements of one of the types that fp32 holds, as fp32.
template <int N>
__device__ __forceinline__ void load(float (&out)[N], const void* data, Type type, int64_t at) {
  switch (type) {
    case Type::kFloat:
      return load_as<float>(out, data, at);
    case Type::kBFloat16:
      return load_as<BFloat16>(out, data, at);
    default:
      return load_as<Half>(out, data, at);
  }
}

template <class T, int N>
__device__ __forceinline__ void store_as(void* data, int64_t at, const float (&in)[N]) {
  Vector<T, N> out;
#pragma unroll
  for (int n = 0; n < N; ++n) out.at[n] = static_cast<T>(in[n]);
  *reinterpret_cast<Vector<T, N>*>(static_cast<T*>(data) + at) = out;
}

// Writes N elements of fp32 as one of these types.
template <int N>
__device__ __forceinline__ void store(void* data, Type type, int64_t at, const float (&in)[N]) {
  switch (type) {
    case Type::kFloat:
      return store_as<float>(data, at, in);
    case Type::kBFloat16:
      return store_as<BFloat16>(data, at, in);
    default:
      return store_as<Half>(data, at, in);
  }
}

// k <- k + (1 - m)(q - k), with weight 1 - m.
template <class K, class Q, class Wide>
__device__ __forceinline__ K average(K k, Q q, Wide weight) {
  const Wide old = static_cast<Wide>(k), now = static_cast<Wide>(q);
  return static_cast<K>(weight == 1 ? now : old + weight * (now - old));  // 1 copies, even over a NaN
}

}  // namespace sslfast
