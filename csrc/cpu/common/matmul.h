// Matrix products of one thread's blocks. The stable ABI's `matmul` allocates its result and goes through the
// dispatcher, where autograd and autocast listen; these shims call the CPU kernel itself.
#pragma once

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

namespace sslfast {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Returns a (rows, columns) tensor over existing memory, which must outlive it.
inline Tensor as_matrix(const float* data, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride) {
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  return torch::stable::from_blob(
      const_cast<float*>(data), {rows, columns}, {row_stride, column_stride}, cpu, ScalarType::Float);
}
inline Tensor as_matrix(const float* data, int64_t rows, int64_t columns) {
  return as_matrix(data, rows, columns, columns, 1);
}

// Returns the tensor without its autograd history, so that threads of our own may slice and convert it.
inline Tensor detached(const Tensor& tensor) {
  return torch::stable::from_blob(
      tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.device(), tensor.scalar_type());
}

// Returns the tensor in fp32 and contiguous; itself if it is both already.
inline Tensor as_fp32(const Tensor& tensor) {
  return torch::stable::contiguous(torch::stable::to(tensor, ScalarType::Float));
}

// out = a b
inline void matmul_into(const Tensor& out, const Tensor& a, const Tensor& b) {
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(out.get(), a.get(), b.get()));
}

// out += a b
inline void matmul_add(const Tensor& out, const Tensor& a, const Tensor& b) {
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_addmm_out(out.get(), out.get(), a.get(), b.get(), 1.0, 1.0));
}

}  // namespace sslfast
