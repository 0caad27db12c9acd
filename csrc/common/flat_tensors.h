// Tensors that correspond element by element, seen as plain arrays.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace sslfast __attribute__((visibility("hidden"))) {  // as torch::stable::Tensor is

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

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

// Whether elements share memory, as an expanded tensor's do. Such a tensor cannot be written.
inline bool is_expanded(const Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    if (sizes[dim] > 1 && strides[dim] == 0) return true;
  }
  return false;
}

// Copies that stand in for tensors whose elements do not lie in memory as a kernel needs them. It keeps them alive.
class Staging {
 public:
  // The tensor, which the kernel will change, or a dense copy of it.
  Tensor dense(const Tensor& tensor) {
    if (tensor.is_contiguous() || is_dense(tensor)) return tensor;
    check_written(tensor);
    copies_.push_back({tensor, torch::stable::contiguous(tensor), /*changes=*/true});
    return copies_.back().copy;
  }

  // The tensor, or a copy of it that lies in memory as `model` does, which is dense and has the same sizes.
  Tensor like(const Tensor& model, const Tensor& tensor, bool changes) {
    if (same_layout(model, tensor)) return tensor;
    if (changes) check_written(tensor);
    Tensor copy = torch::stable::to(torch::stable::empty_like(model), tensor.scalar_type());
    torch::stable::copy_(copy, tensor);
    copies_.push_back({tensor, copy, changes});
    return copy;
  }

  // Call after the kernel: brings what it changed back into the tensors, unknown to autograd, which would refuse to
  // change a leaf that requires a gradient.
  void write_back() {
    for (const Copy& staged : copies_) {
      if (!staged.changes) continue;
      const Tensor& tensor = staged.tensor;
      Tensor detached = torch::stable::from_blob(
          tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.device(), tensor.scalar_type());
      torch::stable::copy_(detached, staged.copy);
    }
  }

 private:
  // Here and not with the other checks, since only tensors that are copied can be expanded.
  static void check_written(const Tensor& tensor) {
    // The Python side finds the words.
    if (is_expanded(tensor)) throw std::runtime_error("an expanded tensor cannot be written");
  }

  struct Copy {
    Tensor tensor, copy;
    bool changes;
  };

  std::vector<Copy> copies_;
};

}  // namespace sslfast
