// Allocation of large results.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sslfast {

// Returns an uninitialized (rows, columns) tensor of fp32. Linux hands out fresh memory page by page as it is written,
// which for large results costs as much time as computing them: pages of 2 MiB, where the system grants them, save
// that.
inline torch::stable::Tensor empty_matrix(int64_t rows, int64_t columns) {
  auto matrix = torch::stable::empty({rows, columns}, torch::headeronly::ScalarType::Float);
#if defined(__linux__)
  constexpr uintptr_t page = 2 << 20;
  const auto begin = reinterpret_cast<uintptr_t>(matrix.data_ptr());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t end = (begin + rows * columns * sizeof(float)) / page * page;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // a hint: may fail
#endif
  return matrix;
}

}  // namespace sslfast
