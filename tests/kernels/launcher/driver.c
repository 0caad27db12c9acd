// A stand-in for CUDA's driver library: it has what Triton's launcher asks for, says of every launch whether a GPU
// would take it, and runs none. The GPU's limits are those of the environment's GPU_* variables.

#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>

static int limit(const char* name) {
  return atoi(getenv(name));
}

CUresult cuCtxGetCurrent(CUcontext* context) { return *context = (CUcontext)1, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { return CUDA_SUCCESS; }
CUresult cuCtxGetLimit(size_t* value, CUlimit name) { return *value = 0, CUDA_SUCCESS; }
CUresult cuCtxSetLimit(CUlimit name, size_t value) { return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int number) { return *device = number, CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) { return *context = (CUcontext)1, CUDA_SUCCESS; }

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute name, CUdevice device) {
  switch (name) {
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      *value = limit("GPU_SHARED_MEMORY");
      break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      *value = limit("GPU_SHARED_MEMORY") + 1024;
      break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = limit("GPU_PROCESSORS");
      break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      *value = 32;
      break;
    default:
      *value = 65536;
  }
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) { return *module = (CUmodule)1, CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return *function = (CUfunction)1, CUDA_SUCCESS;
}
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute name, CUfunction function) {
  *value = name == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute name, int value) { return CUDA_SUCCESS; }
CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) { return CUDA_SUCCESS; }
CUresult cuOccupancyMaxActiveClusters(int* count, CUfunction function, const CUlaunchConfig* config) {
  return *count = 1, CUDA_SUCCESS;
}
CUresult cuPointerGetAttribute(void* value, CUpointer_attribute name, CUdeviceptr pointer) {
  return *(CUdeviceptr*)value = pointer, CUDA_SUCCESS;  // the host's memory passes for the GPU's
}
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char** text) { return *text = "no GPU would take it", CUDA_SUCCESS; }

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** arguments, void** extra) {
  const unsigned x = config->gridDimX, y = config->gridDimY, z = config->gridDimZ;
  const int fits = 0 < x && x <= 2147483647u && 0 < y && y <= 65535 && 0 < z && z <= 65535 &&
                   config->blockDimX * config->blockDimY * config->blockDimZ <= 1024 &&
                   config->sharedMemBytes <= (unsigned)limit("GPU_SHARED_MEMORY");
  if (fits) return CUDA_SUCCESS;
  fprintf(stderr, "a grid of %u x %u x %u, blocks of %u threads, %u bytes of shared memory\n", x, y, z,
          config->blockDimX, config->sharedMemBytes);
  return CUDA_ERROR_INVALID_VALUE;
}
