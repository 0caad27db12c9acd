// The surroundings of a launch: the tensors' device made current, its current stream, and a check afterwards.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/tensor.h>

namespace sslfast __attribute__((visibility("hidden"))) {  // as torch::stable::Tensor is

// While it lives, the tensor's device is the current one; `stream` is the one that PyTorch works on there.
struct LaunchScope {
  explicit LaunchScope(const torch::stable::Tensor& tensor) : guard(tensor.get_device_index()) {
    void* current = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &current));
    stream = static_cast<cudaStream_t>(current);
  }

  // Throws, with CUDA's message, if the launch before it was refused.
  void check() const { STD_CUDA_KERNEL_LAUNCH_CHECK(); }

  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream = nullptr;
};

}  // namespace sslfast
