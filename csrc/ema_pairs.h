// The tensors of ema_update_, checked and flattened: what its CPU and its CUDA kernel work on.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace sslfast __attribute__((visibility("hidden"))) {  // as torch::stable::Tensor is

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

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

// Whether the tensor fills one block of memory, each element once, in whatever order of dimensions.
inline bool is_dense(const Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  std::vector<size_t> dims;
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    if (sizes[dim] != 1) dims.push_back(dim);
  }
  std::sort(dims.begin(), dims.end(), [&](size_t a, size_t b) { return strides[a] < strides[b]; });
  int64_t expected = 1;
  for (const size_t dim : dims) {
    if (strides[dim] != expected) return false;
    expected *= sizes[dim];
  }
  return true;
}

// Whether element i in memory of one tensor is element i in memory of the other. Both have the same sizes.
inline bool same_layout(const Tensor& a, const Tensor& b) {
  if (a.is_contiguous() && b.is_contiguous()) return true;
  const auto sizes = a.sizes(), strides_a = a.strides(), strides_b = b.strides();
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    if (sizes[dim] != 1 && strides_a[dim] != strides_b[dim]) return false;
  }
  return is_dense(a);
}

inline bool same_sizes(const Tensor& a, const Tensor& b) {
  const auto sizes_a = a.sizes(), sizes_b = b.sizes();
  return std::equal(sizes_a.begin(), sizes_a.end(), sizes_b.begin(), sizes_b.end());
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
      if (same_layout(targets[i], sources[i])) {
        add(targets[i], sources[i]);
      } else {
        staged_.push_back({
            targets[i], torch::stable::contiguous(targets[i]), torch::stable::contiguous(sources[i])});
        add(staged_.back().contiguous_target, staged_.back().contiguous_source);
      }
    }
  }

  const std::vector<EmaPair>& pairs() const { return pairs_; }

  // Call after the kernel: brings the averages of targets that had to be made contiguous back into them.
  void write_back() {
    for (Staged& staged : staged_) {
      if (staged.contiguous_target.data_ptr() != staged.target.data_ptr()) {
        torch::stable::copy_(staged.target, staged.contiguous_target);
      }
    }
  }

 private:
  struct Staged {
    Tensor target, contiguous_target, contiguous_source;
  };

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
  std::vector<Staged> staged_;
};

}  // namespace sslfast
