#include "emulator/runtime.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "defect.h"
#include "grid.h"
#include "settings.h"

namespace emulator {
namespace {

// What the host's code said of kernels, by their addresses.
struct Functions {
  std::mutex mutex;
  std::map<const void*, Kernel> kernels;
  std::map<const void*, int> dynamic_bytes;  // that cudaFuncSetAttribute grants
};

Functions& functions() {
  static Functions all;
  return all;
}

int granted_bytes(const void* kernel) {
  const std::lock_guard lock(functions().mutex);
  const auto found = functions().dynamic_bytes.find(kernel);
  return found == functions().dynamic_bytes.end() ? kDefaultSharedBytes - kStaticSharedBytes : found->second;
}

int blocks_per_processor(size_t threads, size_t dynamic_bytes) {
  const size_t by_threads = kThreadsPerProcessor / std::max<size_t>(threads, 1);
  const size_t by_memory = settings.shared_bytes / (kStaticSharedBytes + dynamic_bytes);
  return static_cast<int>(std::min({static_cast<size_t>(settings.blocks_per_processor), by_threads, by_memory}));
}

cudaError_t refusal(const Launch& launch) {
  const size_t threads = volume(launch.block), blocks = volume(launch.grid);
  if (blocks == 0 || threads == 0 || threads > kMaxThreads) return cudaErrorInvalidConfiguration;
  if (launch.dynamic_bytes > static_cast<size_t>(granted_bytes(launch.address))) return cudaErrorInvalidValue;
  const size_t resident = blocks_per_processor(threads, launch.dynamic_bytes) * settings.usable_processors;
  if (launch.cooperative && !settings.cooperative) return cudaErrorNotSupported;
  if (launch.cooperative && blocks > resident) return cudaErrorCooperativeLaunchTooLarge;
  return cudaSuccess;
}

thread_local cudaError_t last_error = cudaSuccess;
void (*after_grant)() = nullptr;  // stands for what another thread may do there

}  // namespace

void* current_stream = nullptr;

cudaError_t run(const Launch& launch) {
  if (launch.stream != current_stream) {
    throw Defect(launch.kernel + std::string(": not launched on the current stream"));
  }
  const cudaError_t error = refusal(launch);
  if (error == cudaSuccess) run_grid(launch);
  return error;
}

void keep_error(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
}

void remember(const void* address, Kernel kernel) {
  const std::lock_guard lock(functions().mutex);
  functions().kernels[address] = std::move(kernel);
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function: translate.py found no reinterpret_cast<const void*>(kernel)";
    case cudaErrorCooperativeLaunchTooLarge:
      return "too many blocks in cooperative launch";
    case cudaErrorNotSupported:
      return "operation not supported";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = kMaxThreads;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = kDefaultSharedBytes;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = settings.shared_bytes;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = settings.processors;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = settings.cooperative;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  *attributes = {kStaticSharedBytes, granted_bytes(kernel), kMaxThreads};
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (value < 0 || value > settings.shared_bytes - kStaticSharedBytes) return cudaErrorInvalidValue;
  {
    const std::lock_guard lock(functions().mutex);
    functions().dynamic_bytes[kernel] = value;
  }
  if (auto* const call = std::exchange(after_grant, nullptr)) call();
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(
    int* blocks, const void*, int block_size, size_t dynamic_bytes) {
  *blocks = blocks_per_processor(static_cast<size_t>(block_size), dynamic_bytes);
  return cudaSuccess;
}

cudaError_t cudaLaunchCooperativeKernel(
    const void* kernel, dim3 grid, dim3 block, void** arguments, size_t dynamic_bytes, cudaStream_t stream) {
  Kernel known;
  {
    const std::lock_guard lock(functions().mutex);
    const auto found = functions().kernels.find(kernel);
    if (found == functions().kernels.end()) return cudaErrorInvalidDeviceFunction;
    known = found->second;
  }
  const cudaError_t error =
      run({known.name, kernel, grid, block, dynamic_bytes, stream, /*cooperative=*/true, known.bind(arguments)});
  keep_error(error);  // CUDA returns it and keeps it too
  return error;
}

extern "C" {

__attribute__((visibility("default"))) void emulator_configure(
    unsigned seed, int processors, int shared_bytes, int blocks_per_processor, int usable_processors, int cooperative) {
  settings = {seed, processors, shared_bytes, blocks_per_processor, usable_processors, cooperative != 0};
}

// To be called once, at the end of the next cudaFuncSetAttribute.
__attribute__((visibility("default"))) void emulator_after_grant(void (*call)()) { after_grant = call; }

}  // extern "C"
