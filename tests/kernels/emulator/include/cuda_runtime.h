// What CUDA C++ takes for granted, and the part of its runtime that the kernels' host code calls.
#pragma once

#include "emulator/atomics.h"
#include "emulator/barriers.h"
#include "emulator/launch.h"
#include "emulator/math.h"
#include "emulator/memory.h"
#include "emulator/runtime.h"
#include "emulator/thread.h"
#include "emulator/vector_types.h"
#include "emulator/warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
