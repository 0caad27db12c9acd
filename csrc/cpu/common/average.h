// The moving average of one array, and the value of a number that a caller may hold in a tensor.
#pragma once

#include <cstdint>
#include <optional>

#include "common/ema_pairs.h"

namespace sslfast {

constexpr int64_t kGrain = 32768;  // elements a thread is woken for; as torch's elementwise kernels

// k <- k + (1 - m)(q - k), in fp32, or fp64 if either type is; m = 0 copies, even over a NaN.
void average(const EmaPair& pair, double momentum);

// Returns elements [begin, begin + count) of a pair.
EmaPair slice(const EmaPair& pair, int64_t begin, int64_t count);

// Returns the value of a tensor of fp32 or fp64, or without a tensor the number beside it.
inline double number(double value, const std::optional<Tensor>& tensor) {
  if (!tensor) return value;
  return tensor->scalar_type() == ScalarType::Double ? *static_cast<const double*>(tensor->data_ptr())
                                                     : *static_cast<const float*>(tensor->data_ptr());
}

}  // namespace sslfast
