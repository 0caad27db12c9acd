// torch's loops over threads, for builds with ThreadSanitizer: on threads whose start and end it sees, as it does not
// see OpenMP's.
#include <torch/csrc/stable/c/shim.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kThreads = 4;
thread_local uint32_t thread_index = 0;
thread_local bool is_in_a_loop = false;

}  // namespace

extern "C" {

AOTITorchError torch_parallel_for(int64_t begin, int64_t end, int64_t grain, ParallelFunc function, void* context) {
  if (begin >= end) return AOTI_TORCH_SUCCESS;
  const int64_t grains = (end - begin) / std::max<int64_t>(grain, 1);
  if (is_in_a_loop || grains < 2) {
    function(begin, end, context);
    return AOTI_TORCH_SUCCESS;
  }
  const int64_t count = std::min(kThreads, grains), share = (end - begin + count - 1) / count;
  std::vector<std::thread> threads;
  for (int64_t i = 0; begin + i * share < end; ++i) {
    threads.emplace_back([=] {
      thread_index = static_cast<uint32_t>(i);
      is_in_a_loop = true;
      function(begin + i * share, std::min(end, begin + (i + 1) * share), context);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError torch_get_thread_idx(uint32_t* index) {
  *index = thread_index;
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError torch_get_num_threads(uint32_t* count) {
  *count = kThreads;
  return AOTI_TORCH_SUCCESS;
}

}  // extern "C"
