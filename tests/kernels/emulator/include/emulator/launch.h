// Launches, as translate.py writes `kernel<<<...>>>(...)`, and kernels whose addresses the host code takes.
#pragma once

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "emulator/runtime.h"
#include "emulator/vector_types.h"

namespace emulator {

struct Launch {
  const char* kernel;  // its name
  const void* address;
  dim3 grid, block;
  size_t dynamic_bytes;  // of shared memory
  cudaStream_t stream;
  bool cooperative;
  std::function<void()> thread;  // what each thread does
};

// Runs all threads; returns the error for which CUDA would refuse the launch. Throws a Defect that it finds.
cudaError_t run(const Launch& launch);

// Keeps the error of a launch that returns none, for cudaGetLastError.
void keep_error(cudaError_t error);

// kernel<<<grid, block, dynamic_bytes, stream>>>
template <class... Parameters>
auto configure(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_bytes = 0,
               cudaStream_t stream = nullptr) {
  return [=](std::type_identity_t<Parameters>... arguments) {
    // Arguments that are copied for each thread are memory of the host, in which there are no races to look for.
    const auto thread = [&]() __attribute__((no_sanitize("thread"))) { kernel(arguments...); };
    keep_error(run({name, reinterpret_cast<const void*>(kernel), grid, block, dynamic_bytes, stream, false, thread}));
  };
}

// A kernel as what an array of pointers to its arguments makes of it.
struct Kernel {
  const char* name;
  std::function<std::function<void()>(void** arguments)> bind;
};

void remember(const void* address, Kernel kernel);

// reinterpret_cast<const void*>(kernel), known from now on to cudaLaunchCooperativeKernel.
template <class... Parameters>
const void* address_of(const char* name, void (*kernel)(Parameters...)) {
  const void* address = reinterpret_cast<const void*>(kernel);
  const auto bind = [kernel]<size_t... i>(void** arguments, std::index_sequence<i...>) -> std::function<void()> {
    return [=]() __attribute__((no_sanitize("thread"))) {
      kernel(*static_cast<const std::remove_cvref_t<Parameters>*>(arguments[i])...);
    };
  };
  const auto bind_all = [=](void** arguments) { return bind(arguments, std::index_sequence_for<Parameters...>()); };
  remember(address, {name, bind_all});
  return address;
}

}  // namespace emulator
