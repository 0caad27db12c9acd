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
  // Checks before anything is written. `averages` is false where the floating-point targets stay as they are.
  EmaPairs(const std::vector<Tensor>& targets, const std::vector<Tensor>& sources, bool averages) {
    if (targets.size() != sources.size()) {
      throw std::runtime_error(
          "ema_update_: expected " + std::to_string(targets.size()) + " sources to match targets, got " +
          std::to_string(sources.size()));
    }
    for (size_t i = 0; i < targets.size(); ++i) check(targets[0], targets[i], sources[i], i);
    pairs_.reserve(targets.size());
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i].numel() == 0 || (!averages && is_averaged(targets[i].scalar_type()))) continue;
      const Tensor target = staging_.dense(targets[i]);
      add(target, staging_.like(target, sources[i], /*changes=*/false));
    }
  }

  const std::vector<EmaPair>& pairs() const { return pairs_; }

  // Call after the kernel: brings the averages of targets that had to be copied back into them.
  void write_back() { staging_.write_back(); }

 private:
  static void check(const Tensor& first, const Tensor& target, const Tensor& source, size_t i) {
    const ScalarType target_type = target.scalar_type(), source_type = source.scalar_type();
    const bool types = (is_averaged(target_type) && is_averaged(source_type)) ||
                       (is_integer(target_type) && target_type == source_type);
    if (!types || !same_sizes(target, source) || target.device() != first.device() ||
        source.device() != first.device()) {
      // The Python side finds the words.
      throw std::runtime_error(
          "ema_update_: targets[" + std::to_string(i) + "] and sources[" + std::to_string(i) +
          "] do not match in shape, dtype or device");
    }
  }

  void add(const Tensor& target, const Tensor& source) {
    const ScalarType type = target.scalar_type();
    int64_t count = target.numel();
    if (is_averaged(type)) {
      pairs_.push_back({target.data_ptr(), source.data_ptr(), count, type, source.scalar_type()});
    } else {
      count *= static_cast<int64_t>(target.element_size());
      pairs_.push_back({target.data_ptr(), source.data_ptr(), count, ScalarType::Byte, ScalarType::Byte});
    }
  }

  std::vector<EmaPair> pairs_;
  Staging staging_;
};

}  // namespace sslfast
