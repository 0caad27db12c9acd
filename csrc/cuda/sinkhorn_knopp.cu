// Sinkhorn-Knopp on the GPU: one cooperative launch, one read of the scores and one write of the codes.
//
// With c = log2(e)/eps and E_bk = 2^(c S_bk), the codes after any number of iterations are u_b E_bk v_k, where u_b
// makes each row sum to 1. An iteration changes v alone. The rows are split over the blocks, one on each
// processor. A block takes the powers E once, keeps them in shared memory as far as they fit, else in the codes'
// place, from which L2 gives them, and only multiplies and adds from then on (products.cuh). Where the scores of
// one block are too large for that, all blocks take exponentials anew in each pass (exponentials.cuh).
//
// In a pass a warp takes a row at a time for the row's sum, then a thread some columns at a time for their sums
// over the block's rows: four, as one access to memory takes, if rows have a multiple of four. The blocks' sums
// are added between two barriers of the grid (merge.cuh).
//
// At such a barrier every block waits for all others, so all must run at the same time. Where the GPU, or the part
// of it that the process may use, does not hold them, the call is refused: `impl="triton"` has no such barrier.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cuda/common/launch.cuh"
#include "cuda/sinkhorn_knopp/exponentials.cuh"
#include "cuda/sinkhorn_knopp/merge.cuh"
#include "cuda/sinkhorn_knopp/products.cuh"

#include <cooperative_groups.h>  // last: what it includes makes torch's BFloat16.h call host functions

namespace sslfast::sinkhorn {
namespace {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// An iteration makes v of the columns' sums, or t and f, and then finds the rows' factors.
template <class T, int V>
__global__ void __launch_bounds__(kThreads, 1) sinkhorn_kernel(const __grid_constant__ Problem<T> p) {
  extern __shared__ __align__(16) unsigned char memory[];
  const auto grid = cooperative_groups::this_grid();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * p.block_rows, left = p.samples - first;
  const int count = static_cast<int>(left < p.block_rows ? left : p.block_rows);
  const Share<T, V> share{p, reinterpret_cast<Vector<float, V>*>(memory), first, count, p.prototypes / V};
  bool fits = take_powers(share);
  if (threadIdx.x == 0) p.fits[blockIdx.x] = fits;
  if (fits) {
    columns_of_powers(share);
  } else {
    columns_of_scores(share);
  }
  for (int iteration = 1;; ++iteration) {
    grid.sync();
    if (iteration == 1) fits = all_fit(p);
    merge_columns(p, /*start=*/iteration == 1, fits);
    grid.sync();
    const bool last = iteration == p.iterations;
    if (fits) {
      rows_of_products(share, last);
    } else {
      rows_of_exponentials(share, last);
    }
    if (last) break;
    if (fits) {
      columns_of_products(share);
    } else {
      columns_of_exponentials(share);
    }
  }
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&value, name, device));
  return value;
}

// Throws unless a block with these bytes of dynamic shared memory runs on every processor at the same time.
template <class T, int V>
void check_resident(int device, int shared) {
  STD_TORCH_CHECK(attribute(cudaDevAttrCooperativeLaunch, device) != 0,
                  "sinkhorn_knopp: impl='cuda' needs a GPU with cooperative launches, which this one has not; use "
                  "impl='triton'");
  int blocks = 0;
  STD_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, sinkhorn_kernel<T, V>, kThreads, shared));
  STD_TORCH_CHECK(blocks > 0, "sinkhorn_knopp: impl='cuda' needs a block of ", kThreads, " threads and ", shared,
                  " bytes of dynamic shared memory on each of the GPU's processors, which hold none; use "
                  "impl='triton'");
}

template <class T, int V>
void launch_in_vectors(const Tensor& scores, const Tensor& codes, double epsilon, int64_t iterations,
                       const LaunchScope& scope) {
  const int64_t samples = scores.size(0), prototypes = scores.size(1);
  const int device = scores.get_device_index(), processors = attribute(cudaDevAttrMultiProcessorCount, device);
  const int64_t block_rows = (samples + processors - 1) / processors, blocks = (samples + block_rows - 1) / block_rows;

  cudaFuncAttributes attributes;
  STD_CUDA_CHECK(cudaFuncGetAttributes(&attributes, sinkhorn_kernel<T, V>));
  const int64_t capacity = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device) -
                           static_cast<int64_t>(attributes.sharedSizeBytes);
  const int64_t row_bytes = prototypes * static_cast<int64_t>(sizeof(float));
  const int64_t resident_rows = std::min(block_rows, capacity / row_bytes);
  const int shared = static_cast<int>(resident_rows * row_bytes);
  // The limit is the kernel's, not this call's: the same for all, so that no other thread's call lowers it before
  // the launch.
  STD_CUDA_CHECK(cudaFuncSetAttribute(
      sinkhorn_kernel<T, V>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(capacity)));
  check_resident<T, V>(device, shared);

  const Tensor rows = torch::stable::new_empty(scores, {samples, 2}, ScalarType::Float);
  const Tensor partial = torch::stable::new_empty(scores, {blocks, prototypes, 2}, ScalarType::Float);
  const Tensor fitting = torch::stable::new_empty(scores, {blocks}, ScalarType::Int);
  const Tensor columns = torch::stable::new_empty(scores, {3, prototypes}, ScalarType::Float);
  float* const t = static_cast<float*>(columns.data_ptr());
  Problem<T> problem{
      static_cast<const T*>(scores.data_ptr()),
      static_cast<float*>(codes.data_ptr()),
      static_cast<Row*>(rows.data_ptr()),
      static_cast<PowerSum*>(partial.data_ptr()),
      static_cast<int*>(fitting.data_ptr()),
      t,
      t + prototypes,
      t + 2 * prototypes,
      samples,
      static_cast<int>(prototypes),
      static_cast<int>(iterations),
      static_cast<float>(M_LOG2E / epsilon),
      most_bits(samples, prototypes, iterations),
      static_cast<int>(block_rows),
      static_cast<int>(resident_rows)};
  void* arguments[] = {&problem};
  const cudaError_t error = cudaLaunchCooperativeKernel(
      reinterpret_cast<const void*>(sinkhorn_kernel<T, V>), dim3(static_cast<unsigned>(blocks)), dim3(kThreads), arguments,
      shared, scope.stream);
  const bool fits = error != cudaErrorCooperativeLaunchTooLarge;
  if (!fits) cudaGetLastError();  // takes back the error, which is answered here, before a later check finds it
  STD_TORCH_CHECK(fits,
                  "sinkhorn_knopp: impl='cuda' needs to run ", blocks, " blocks at the same time, one on each "
                  "processor, which the part of the GPU that this process may use does not hold; use impl='triton'");
  STD_CUDA_CHECK(error);
}

// Launches the kernel for rows whose vectors are aligned, or else number by number.
template <class T>
void launch(const Tensor& scores, const Tensor& codes, double epsilon, int64_t iterations, const LaunchScope& scope) {
  constexpr int columns = 4;
  const auto address = reinterpret_cast<uintptr_t>(scores.data_ptr());
  const bool aligned = scores.size(1) % columns == 0 && address % sizeof(Vector<T, columns>) == 0;
  const auto run = aligned ? launch_in_vectors<T, columns> : launch_in_vectors<T, 1>;
  run(scores, codes, epsilon, iterations, scope);
}

// Returns codes (B, K), fp32.
Tensor sinkhorn_knopp(Tensor scores, double epsilon, int64_t iterations) {
  const LaunchScope scope(scores);
  const Tensor codes = torch::stable::new_empty(scores, {scores.size(0), scores.size(1)}, ScalarType::Float);
  if (scores.size(0) == 0) return codes;
  const Tensor dense = torch::stable::contiguous(scores);
  switch (scores.scalar_type()) {
    case ScalarType::Half:
      launch<Half>(dense, codes, epsilon, iterations, scope);
      break;
    case ScalarType::BFloat16:
      launch<BFloat16>(dense, codes, epsilon, iterations, scope);
      break;
    default:
      launch<float>(dense, codes, epsilon, iterations, scope);
  }
  return codes;
}

}  // namespace
}  // namespace sslfast::sinkhorn

STABLE_TORCH_LIBRARY_IMPL(sslfast, CUDA, library) {
  library.impl("sinkhorn_knopp.cuda", TORCH_BOX(&sslfast::sinkhorn::sinkhorn_knopp));
}
