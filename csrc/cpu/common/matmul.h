// Matrix products of one thread's blocks. The stable ABI's `matmul` allocates its result and goes through the
// dispatcher, where autograd and autocast listen; these shims call the CPU kernel itself.
#pragma once

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "cpu/common/tensors.h"

namespace sslfast {

// out = a b
inline void matmul_into(const Tensor& out, const Tensor& a, const Tensor& b) {
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(out.get(), a.get(), b.get()));
}

// out += a b
inline void matmul_add(const Tensor& out, const Tensor& a, const Tensor& b) {
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_addmm_out(out.get(), out.get(), a.get(), b.get(), 1.0, 1.0));
}

}  // namespace sslfast
