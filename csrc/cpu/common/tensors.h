// Tensors over memory that is there, and new ones. The stable ABI's functions for it look their operators up by name
// at every call, which takes longer than the work on a small batch.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <vector>

namespace sslfast {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Returns an uninitialized, contiguous tensor on the CPU.
inline Tensor empty(const std::vector<int64_t>& sizes, ScalarType type) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t dim = sizes.size(); dim-- > 0; stride *= sizes[dim] ? sizes[dim] : 1) strides[dim] = stride;
  const auto number_of = [](auto value) {
    return torch::stable::detail::to<int32_t>(torch::stable::detail::from(value));
  };
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(sizes.size(), sizes.data(), strides.data(), number_of(type),
                                                  number_of(torch::headeronly::DeviceType::CPU), 0, &handle));
  return Tensor(handle);
}

// Returns the mean of numbers in fp32, a tensor of shape (); NaN of none.
inline Tensor mean_of(const Tensor& numbers) {
  const float* const data = static_cast<const float*>(numbers.data_ptr());
  double sum = 0;
  for (int64_t i = 0; i < numbers.numel(); ++i) sum += data[i];
  Tensor mean = empty({}, ScalarType::Float);
  *mean.mutable_data_ptr<float>() = static_cast<float>(sum / static_cast<double>(numbers.numel()));
  return mean;
}

// Returns a (rows, columns) tensor over existing memory, which must outlive it.
inline Tensor as_matrix(const float* data, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride) {
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  return torch::stable::from_blob(
      const_cast<float*>(data), {rows, columns}, {row_stride, column_stride}, cpu, ScalarType::Float);
}
inline Tensor as_matrix(const float* data, int64_t rows, int64_t columns) {
  return as_matrix(data, rows, columns, columns, 1);
}

// Returns rows [start, start + count) of a (., columns) tensor, without its autograd history, so that threads of our
// own may convert them. The tensor must outlive them.
inline Tensor rows_of(const Tensor& tensor, int64_t start, int64_t count) {
  char* const first =
      static_cast<char*>(tensor.data_ptr()) + start * tensor.stride(0) * static_cast<int64_t>(tensor.element_size());
  return torch::stable::from_blob(
      first, {count, tensor.size(1)}, tensor.strides(), tensor.device(), tensor.scalar_type());
}

// Returns the transpose of a matrix of fp32, which must outlive it.
inline Tensor transposed(const Tensor& matrix) {
  return as_matrix(static_cast<const float*>(matrix.data_ptr()), matrix.size(1), matrix.size(0), matrix.stride(1),
                   matrix.stride(0));
}

// Returns the tensor without its autograd history, so that threads of our own may slice and convert it.
inline Tensor detached(const Tensor& tensor) {
  return torch::stable::from_blob(
      tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.device(), tensor.scalar_type());
}

// Returns the tensor in fp32 and contiguous; itself if it is both already.
inline Tensor as_fp32(const Tensor& tensor) {
  if (tensor.scalar_type() == ScalarType::Float && tensor.is_contiguous()) return tensor;
  return torch::stable::contiguous(torch::stable::to(tensor, ScalarType::Float));
}

}  // namespace sslfast
