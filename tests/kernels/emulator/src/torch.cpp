// The functions of libtorch_cuda that the kernels' host code calls: a tensor's GPU is the CPU here.
#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstring>
#include <string>

#include "settings.h"

extern "C" {

int32_t aoti_torch_device_type_cuda() { return aoti_torch_device_type_cpu(); }

AOTITorchError aoti_torch_create_device_guard(int32_t, DeviceGuardHandle* guard) {
  *guard = nullptr;
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) { return AOTI_TORCH_SUCCESS; }

AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  static char any;
  emulator::current_stream = &any;
  *stream = emulator::current_stream;
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError torch_c10_cuda_check_msg(
    int32_t error, const char* file, const char*, uint32_t line, bool, char** message) {
  *message = nullptr;
  if (error != cudaSuccess) {
    const std::string text = std::string("CUDA error: ") + cudaGetErrorString(static_cast<cudaError_t>(error)) +
                             ", at " + file + ":" + std::to_string(line);
    *message = strdup(text.c_str());
  }
  return AOTI_TORCH_SUCCESS;
}

void torch_c10_cuda_free_error_msg(char* message) { free(message); }

}  // extern "C"
