// The tensors of ema_update_, checked and flattened for its CPU and its CUDA kernel.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/flat_tensors.h"

namespace sslfast __attribute__((visibility("hidden"))) {  // as torch::stable::Tensor is

// A target and its source as plain arrays whose elements correspond, both of `count` elements.
struct EmaPair {
  void* target;
  const void* source;
  int64_t count;
  ScalarType target_type;  // a floating type: averaged; Byte: copied
  ScalarType source_type;
};

inline bool is_averaged(ScalarType type) {
  return type == ScalarType::Float || type == ScalarType::BFloat16 || type == ScalarType::Half ||
         type == ScalarType::Double;
}

inline bool is_integer(ScalarType type) {
  switch (type) {
    case ScalarType::Bool:
    case ScalarType::Char:
    case ScalarType::Byte:
    case ScalarType::Short:
    case ScalarType::UInt16:
    case ScalarType::Int:
    case ScalarType::UInt32:
    case ScalarType::Long:
    case ScalarType::UInt64:
      return true;
    default:
      return false;
  }
}

class EmaPairs {
 public:
  // Checks, before anything is written. `averages` is false where the floating-point targets stay as they are.
  EmaPairs(const std::vector<Tensor>& targets, const std::vector<Tensor>& sources, bool averages) {
    if (targets.size() != sources.size()) {
      throw std::runtime_error(
          "ema_update_: expected " + std::to_string(targets.size()) + " sources to match targets, got " +
          std::to_string(sources.size()));
    }
    if (targets.empty()) return;
    const auto device = targets[0].device();
    pairs_.reserve(targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      const Tensor &target = targets[i], &source = sources[i];
      const ScalarType target_type = target.scalar_type(), source_type = source.scalar_type();
      if (!match(target_type, source_type) || !same_sizes(target, source) || target.device() != device ||
          source.device() != device) {
        // The Python side finds the words.
        throw std::runtime_error(
            "ema_update_: targets[" + std::to_string(i) + "] and sources[" + std::to_string(i) +
            "] do not match in shape, dtype or device");
      }
      const int64_t count = target.numel();
      if (count == 0 || (!averages && is_averaged(target_type))) continue;
      if (target.is_contiguous() && source.is_contiguous()) {
        add(target, source, count, target_type, source_type);
        continue;
      }
      const Tensor dense = staging_.dense(target);
      add(dense, staging_.like(dense, source, /*changes=*/false), count, target_type, source_type);
    }
  }

  const std::vector<EmaPair>& pairs() const { return pairs_; }

  // Call after the kernel: brings the averages of targets that had to be copied back into them.
  void write_back() { staging_.write_back(); }

 private:
  static bool match(ScalarType target, ScalarType source) {
    return (is_averaged(target) && is_averaged(source)) || (is_integer(target) && target == source);
  }

  void add(const Tensor& target, const Tensor& source, int64_t count, ScalarType target_type, ScalarType source_type) {
    if (!is_averaged(target_type)) {
      count *= static_cast<int64_t>(target.element_size());
      target_type = source_type = ScalarType::Byte;
    }
    pairs_.push_back({target.data_ptr(), source.data_ptr(), count, target_type, source_type});
  }

  std::vector<EmaPair> pairs_;
  Staging staging_;
};

}  // namespace sslfast
