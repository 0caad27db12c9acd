// Where the thread that runs is in its grid.
#pragma once

#include <source_location>

#include "emulator/vector_types.h"

namespace emulator {

using Site = std::source_location;  // of a call in a kernel

uint3 thread_index();
uint3 block_index();
uint3 block_size();
uint3 grid_size();

}  // namespace emulator

#define threadIdx (::emulator::thread_index())
#define blockIdx (::emulator::block_index())
#define blockDim (::emulator::block_size())
#define gridDim (::emulator::grid_size())
constexpr int warpSize = 32;
