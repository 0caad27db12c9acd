// Kernels that do what CUDA leaves undefined, each in one way, and kernels that do what it defines.

#include <cooperative_groups.h>

#include <map>
#include <stdexcept>
#include <string>

namespace {

constexpr unsigned kAll = 0xffffffff;

// What is undefined.

__global__ void different_barriers(int*) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void return_before_a_barrier(int*) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void barriers_of_warp_and_block(int*) {
  if (threadIdx.x == 5) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

__global__ void return_before_the_grids_barrier(int*) {
  if (blockIdx.x == 1) return;
  cooperative_groups::this_grid().sync();
}

__global__ void grids_barrier_in_a_plain_launch(int*) { cooperative_groups::this_grid().sync(); }

__global__ void mask_without_the_own_lane(int*) { __syncwarp(0x0000ffff); }

__global__ void mask_beyond_the_warp(int*) { __syncwarp(kAll); }  // in blocks of 40 threads

__global__ void mask_with_a_lane_that_returned(int*) {
  if (threadIdx.x == 7) return;
  __shfl_xor_sync(kAll, 1, 1);
}

__global__ void shuffle_from_outside_of_the_mask(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 16);
}

__global__ void votes_in_two_places(int* out) {
  if (threadIdx.x % 2 == 0) {
    out[threadIdx.x] = __any_sync(kAll, 1);
  } else {
    out[threadIdx.x] = __all_sync(kAll, 1);
  }
}

__global__ void beyond_dynamic_shared_memory(int* out) {
  extern __shared__ int memory[];
  memory[threadIdx.x + 1] = 1;  // of as many as there are threads
  out[threadIdx.x] = 0;
}

__global__ void beyond_a_shared_variable(int*) {
  __shared__ int one[64];
  __shared__ int other[64];
  other[threadIdx.x] = 1;
  one[static_cast<int>(threadIdx.x) - 1] = 1;
}

__global__ void more_shared_variables_than_are_kept(int*) {
  __shared__ double many[1 << 13];
  many[threadIdx.x] = 1;
}

__global__ void read_of_what_nobody_wrote(int* out) {
  __shared__ int values[64];
  if (threadIdx.x > 0) values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void read_before_a_barrier(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = 1;
  out[threadIdx.x] = values[threadIdx.x ^ 32];
}

__global__ void write_before_a_barrier(int* out) {
  __shared__ int value;
  if (threadIdx.x == 0) value = 1;
  __syncthreads();
  out[threadIdx.x] = value;
  if (threadIdx.x == 0) value = 2;
}

__global__ void shuffle_in_place_of_a_barrier(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = 1;
  __shfl_xor_sync(kAll, 1, 1);
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

__global__ void barrier_of_the_block_for_other_blocks(int* out) {
  out[blockIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) out[2 + blockIdx.x] = out[blockIdx.x ^ 1];
}

__global__ void neighbors_write_the_same_byte(int* out) {
  reinterpret_cast<char*>(out)[threadIdx.x / 2] = 1;
}

__global__ void plain_read_beside_atomics(int* out) {
  atomicAdd(out, 1);
  if (threadIdx.x == 0) out[1] = out[0];
}

// What is defined.

__global__ void places(int* out) {
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = static_cast<int>(100 * block + thread);
}

__global__ void shuffles(int* out) {
  const int me = static_cast<int>(threadIdx.x);
  out[me] = __shfl_sync(kAll, me, 3);
  out[32 + me] = __shfl_up_sync(kAll, me, 2);
  out[64 + me] = __shfl_down_sync(kAll, me, 1, 8);
  out[96 + me] = __shfl_xor_sync(kAll, me, 16);
  out[128 + me] = static_cast<int>(__shfl_sync(kAll, me + 0.5, 9, 8) * 2);
}

__global__ void votes(int* out) {
  const int me = static_cast<int>(threadIdx.x);
  out[me] = static_cast<int>(__ballot_sync(kAll, me < 3)) + 16 * __any_sync(kAll, me == 9) + 32 * __all_sync(kAll, me < 9);
  out[32 + me] = __syncthreads_count(me < 5) + 16 * __syncthreads_or(me == 9) + 32 * __syncthreads_and(me < 9);
}

// Each half of the warp goes its own way before they meet.
__global__ void halves_of_a_warp(int* out) {
  const unsigned me = threadIdx.x, half = me < 16 ? 0x0000ffff : 0xffff0000;
  __shared__ int values[32];
  int sum = 1;
  for (int lanes = 8; lanes > 0; lanes /= 2) {
    if (me < 16) {
      sum += __shfl_xor_sync(half, sum, lanes);
    } else {
      sum += 2 * __shfl_xor_sync(half, sum, lanes);
    }
  }
  values[me] = sum;
  __syncwarp();
  out[me] = values[31 - me];
}

__global__ void sum_by_blocks(int* out) {
  extern __shared__ int values[];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  for (unsigned count = blockDim.x / 2; count > 0; count /= 2) {
    __syncthreads();
    if (threadIdx.x < count) values[threadIdx.x] += values[threadIdx.x + count];
  }
  if (threadIdx.x == 0) out[blockIdx.x] = values[0];
}

__global__ void neighbors_in_turn(int* out) {
  const auto grid = cooperative_groups::this_grid();
  const unsigned count = gridDim.x * blockDim.x, me = blockIdx.x * blockDim.x + threadIdx.x;
  out[me] = static_cast<int>(me);
  for (int step = 0; step < 3; ++step) {
    grid.sync();
    const int next = __ldg(&out[(me + 1) % count]);
    grid.sync();
    out[me] = next;
  }
}

__global__ void atomics(int* out) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, 1);
  __syncthreads();
  if (threadIdx.x == 0) out[5 + blockIdx.x] = count;
  atomicAdd(&out[0], 1);
  atomicMax(&out[1], static_cast<int>(threadIdx.x));
  atomicMin(&out[2], -static_cast<int>(threadIdx.x));
  while (atomicCAS(&out[3], 0, 1) != 0) {
  }
  atomicAdd(&out[4], 1);
  atomicExch(&out[3], 0);
}

__global__ void vectors(int* out) {
  static_assert(sizeof(float3) == 12 && alignof(float4) == 16 && alignof(double4) == 16 && alignof(uchar4) == 4);
  reinterpret_cast<int4*>(out)[threadIdx.x] = make_int4(1, 2, 3, min(4, 5L));
}

cudaError_t cooperative(const void* kernel, dim3 grid, int* out) {
  void* arguments[] = {&out};
  cudaLaunchCooperativeKernel(kernel, grid, 32, arguments, 0, nullptr);
  return cudaGetLastError();
}

const std::map<std::string, cudaError_t (*)(int*)> launches = {
    {"different_barriers", [](int* out) { return different_barriers<<<1, 32>>>(out), cudaGetLastError(); }},
    {"return_before_a_barrier", [](int* out) { return return_before_a_barrier<<<1, 32>>>(out), cudaGetLastError(); }},
    {"barriers_of_warp_and_block", [](int* out) { return barriers_of_warp_and_block<<<1, 32>>>(out), cudaGetLastError(); }},
    {"return_before_the_grids_barrier", [](int* out) { return cooperative(reinterpret_cast<const void*>(return_before_the_grids_barrier), 2, out); }},
    {"grids_barrier_in_a_plain_launch", [](int* out) { return grids_barrier_in_a_plain_launch<<<1, 32>>>(out), cudaGetLastError(); }},
    {"mask_without_the_own_lane", [](int* out) { return mask_without_the_own_lane<<<1, 32>>>(out), cudaGetLastError(); }},
    {"mask_beyond_the_warp", [](int* out) { return mask_beyond_the_warp<<<1, 40>>>(out), cudaGetLastError(); }},
    {"mask_with_a_lane_that_returned", [](int* out) { return mask_with_a_lane_that_returned<<<1, 32>>>(out), cudaGetLastError(); }},
    {"shuffle_from_outside_of_the_mask", [](int* out) { return shuffle_from_outside_of_the_mask<<<1, 32>>>(out), cudaGetLastError(); }},
    {"votes_in_two_places", [](int* out) { return votes_in_two_places<<<1, 32>>>(out), cudaGetLastError(); }},
    {"beyond_dynamic_shared_memory", [](int* out) { return beyond_dynamic_shared_memory<<<1, 64, 256>>>(out), cudaGetLastError(); }},
    {"beyond_a_shared_variable", [](int* out) { return beyond_a_shared_variable<<<1, 64>>>(out), cudaGetLastError(); }},
    {"more_shared_variables_than_are_kept", [](int* out) { return more_shared_variables_than_are_kept<<<1, 32>>>(out), cudaGetLastError(); }},
    {"read_of_what_nobody_wrote", [](int* out) { return read_of_what_nobody_wrote<<<1, 64>>>(out), cudaGetLastError(); }},
    {"read_before_a_barrier", [](int* out) { return read_before_a_barrier<<<1, 64>>>(out), cudaGetLastError(); }},
    {"write_before_a_barrier", [](int* out) { return write_before_a_barrier<<<1, 64>>>(out), cudaGetLastError(); }},
    {"shuffle_in_place_of_a_barrier", [](int* out) { return shuffle_in_place_of_a_barrier<<<1, 64>>>(out), cudaGetLastError(); }},
    {"barrier_of_the_block_for_other_blocks", [](int* out) { return barrier_of_the_block_for_other_blocks<<<2, 1>>>(out), cudaGetLastError(); }},
    {"neighbors_write_the_same_byte", [](int* out) { return neighbors_write_the_same_byte<<<1, 32>>>(out), cudaGetLastError(); }},
    {"plain_read_beside_atomics", [](int* out) { return plain_read_beside_atomics<<<1, 32>>>(out), cudaGetLastError(); }},
    {"places", [](int* out) { return places<<<dim3(3, 2, 2), dim3(4, 2, 3)>>>(out), cudaGetLastError(); }},
    {"shuffles", [](int* out) { return shuffles<<<1, 32>>>(out), cudaGetLastError(); }},
    {"votes", [](int* out) { return votes<<<1, 32>>>(out), cudaGetLastError(); }},
    {"halves_of_a_warp", [](int* out) { return halves_of_a_warp<<<1, 32>>>(out), cudaGetLastError(); }},
    {"sum_by_blocks", [](int* out) { return sum_by_blocks<<<3, 128, 512>>>(out), cudaGetLastError(); }},
    {"neighbors_in_turn", [](int* out) { return cooperative(reinterpret_cast<const void*>(neighbors_in_turn), 3, out); }},
    {"atomics", [](int* out) { return atomics<<<2, 64>>>(out), cudaGetLastError(); }},
    {"vectors", [](int* out) { return vectors<<<1, 2>>>(out), cudaGetLastError(); }},
    {"another_stream", [](int* out) { return places<<<1, 32, 0, out>>>(out), cudaGetLastError(); }},
    {"too_many_threads", [](int* out) { return places<<<1, 1025>>>(out), cudaGetLastError(); }},
    {"too_much_shared_memory", [](int* out) { return places<<<1, 32, (48 << 10) + 1>>>(out), cudaGetLastError(); }},
    {"too_many_blocks_to_wait", [](int* out) {
       return cooperative(reinterpret_cast<const void*>(neighbors_in_turn), 9, out);  // 2 for each of 4 processors
     }},
};

}  // namespace

// Launches the kernel; returns what is wrong with it, or null.
extern "C" __attribute__((visibility("default"))) const char* run(const char* name, int* out) {
  static std::string message;
  try {
    const cudaError_t error = launches.at(name)(out);
    message = error == cudaSuccess ? "" : cudaGetErrorString(error);
  } catch (const std::runtime_error& defect) {
    message = defect.what();
  }
  return message.empty() ? nullptr : message.c_str();
}
