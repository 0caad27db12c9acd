// Sinkhorn-Knopp on the GPU: one cooperative launch, one read of the scores and one write of the codes.
//
// With c = log2(e)/eps and E_bk = 2^(c S_bk), the codes after any number of iterations are u_b E_bk v_k, where u_b makes
// each row sum to 1. An iteration changes v alone: v_k = 1 / sum_b E_bk at first, v_k / sum_b Q_bk from then on. The rows
// are split over the blocks, one on each processor. A block takes the powers E once, keeps them in shared memory as far
// as they fit, else in the codes' place, from which L2 gives them, and only multiplies and adds from then on.
//
// That is right as long as no E v leaves fp32. Columns of Q sum to 1/K to B, so that v_k is within B^-n 2^-A to
// K^(n - 1) 2^A after n iterations, if all |c S_bk| <= A: the host takes from this the A up to which rows of E v have
// sums in fp32. A block compares its scores with it, and where one block's are larger, all take the powers anew in each
// pass, relative to maxima: with t_k = max_b S_bk,
//
//   Q_bk = 2^x_bk / sum_j 2^x_bj,  x_bk = c (S_bk - t_k) + f_k
//
// where f_k = -log2 sum_b 2^(c (S_bk - t_k)) at first, and f_k - log2 sum_b Q_bk from then on.
//
// In a pass a warp takes a row at a time for the row's sum, then a thread some columns at a time for their sums over the
// block's rows: four, as one access to memory takes, if rows have a multiple of four. The blocks' sums are added in a
// fixed order between two barriers of the grid: the result is the same bits each time.
//
// At such a barrier every block waits for all others, so all must run at the same time. Where the GPU, or the part of
// it that the process may use, does not hold them, the call is refused: `impl="triton"` has no such barrier.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cuda/common/launch.cuh"

#include <cooperative_groups.h>  // last: what it includes makes torch's BFloat16.h call host functions

namespace sslfast {
namespace {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int kWarp = 32;
constexpr int kThreads = 512;  // and so 128 registers each, for the numbers that are on their way
constexpr int kWarps = kThreads / kWarp;
constexpr float kLowest = -3e38f;  // below every score; finite, so that a column of -inf gives 0 and not inf - inf
constexpr unsigned kAll = 0xffffffff;
constexpr int kAhead = 4;  // numbers that a thread reads before it uses the first

// Numbers of a row that lie beside one another: one access to memory.
template <class T, int V>
struct alignas(V * sizeof(T)) Vector {
  T at[V];
};

// The maximum of numbers x and the sum of 2^(scale (x - top)).
struct Powers {
  float top = kLowest;
  float sum = 0;

  template <int V>
  __device__ void add(const Vector<float, V>& x, float scale) {
    float new_top = top;
#pragma unroll
    for (int v = 0; v < V; ++v) new_top = fmaxf(new_top, x.at[v]);
    if (new_top > top) {
      sum *= exp2f((top - new_top) * scale);
      top = new_top;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) sum += exp2f((x.at[v] - top) * scale);
  }

  __device__ void merge(Powers other, float scale) {
    const float new_top = fmaxf(top, other.top);
    sum = sum * exp2f((top - new_top) * scale) + other.sum * exp2f((other.top - new_top) * scale);
    top = new_top;
  }
};

// The numbers of a row between its warp's turn and the columns' turn: Q = factor 2^(x - top), or factor E v. The factor
// is NaN if the row has no codes.
struct Row {
  float top;
  float factor;
};

template <class T>
struct Problem {
  const T* scores;  // (B, K)
  float* codes;     // (B, K); E until then, of the rows that are not resident
  Row* rows;        // (B)
  Powers* partial;  // (blocks, K): of the columns; `top` in the first pass only
  int* fits;        // (blocks): whether all of a block's |c S| are at most `most_bits`
  float *t, *f, *v;  // (K): v where all blocks fit, else t and f
  int64_t samples;
  int prototypes;
  int iterations;
  float scale;        // c
  float most_bits;    // A
  int block_rows;     // rows a block
  int resident_rows;  // those of them whose E are in shared memory
};

// A block's share of the rows, in vectors of V columns.
template <class T, int V>
struct Share {
  using Numbers = Vector<float, V>;

  const Problem<T>& p;
  Numbers* resident;
  int64_t first;
  int count;
  int vectors;  // of a row

  __device__ const Vector<T, V>* scores(int i) const {
    return reinterpret_cast<const Vector<T, V>*>(p.scores) + (first + i) * vectors;
  }

  __device__ Numbers* codes(int i) const { return reinterpret_cast<Numbers*>(p.codes) + (first + i) * vectors; }

  __device__ Numbers numbers(const float* columns, int k) const {
    return reinterpret_cast<const Numbers*>(columns)[k];
  }

  __device__ Powers* partial(int k) const {
    return p.partial + static_cast<int64_t>(blockIdx.x) * p.prototypes + k * V;
  }

  // Calls visit(i, E of row i) for every `step`-th row from `begin` on, for `ahead` of them at a time. A loop for the
  // rows in shared memory and one for the others: an address that may be of either memory costs more instructions than
  // the number that is read.
  template <int ahead, class Visit>
  __device__ void for_each_row(int begin, int step, const Visit& visit) const {
    const int last_resident = min(count, p.resident_rows);
    int i = begin;
#pragma unroll ahead
    for (; i < last_resident; i += step) visit(i, resident + static_cast<int64_t>(i) * vectors);
#pragma unroll ahead
    for (; i < count; i += step) visit(i, codes(i));
  }

  // Calls use(k, get(k)) for the lane's vectors k of a row. Several are read before the first is used, which may write.
  template <class Get, class Use>
  __device__ void for_each_vector(const Get& get, const Use& use) const {
    for (int k = threadIdx.x % kWarp; k < vectors; k += kAhead * kWarp) {
      decltype(get(k)) values[kAhead];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        if (k + a * kWarp < vectors) values[a] = get(k + a * kWarp);
      }
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        if (k + a * kWarp < vectors) use(k + a * kWarp, values[a]);
      }
    }
  }

  __device__ Numbers x(const Vector<T, V>& row, const Numbers& t, const Numbers& f) const {
    Numbers x;
#pragma unroll
    for (int v = 0; v < V; ++v) x.at[v] = (static_cast<float>(row.at[v]) - t.at[v]) * p.scale + f.at[v];
    return x;
  }

  // Takes the powers E, 0 in rows without codes, and finds out which rows those are. Returns whether the E fit.
  __device__ bool load() const {
    bool fits = true;
    for_each_row<1>(threadIdx.x / kWarp, kWarps, [&](int i, Numbers* row) {
      const Vector<T, V>* const from = scores(i);
      bool bad = false, any = false, wide = false;
      for_each_vector([&](int k) { return from[k]; }, [&](int k, const Vector<T, V>& values) {
        Numbers powers;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const float score = static_cast<float>(values.at[v]), bits = score * p.scale;
          bad |= !(score < INFINITY);
          any |= score > -INFINITY;
          wide |= fabsf(bits) > p.most_bits && score > -INFINITY;
          powers.at[v] = exp2f(bits);
        }
        row[k] = powers;
      });
      const int lane = threadIdx.x % kWarp;
      const bool has_codes = !__any_sync(kAll, bad) && __any_sync(kAll, any);
      if (has_codes) {
        fits &= !wide;
      } else {
        for (int k = lane; k < vectors; k += kWarp) row[k] = {};
      }
      if (lane == 0) p.rows[first + i].factor = has_codes ? 1.0f : NAN;
    });
    return __syncthreads_and(fits);
  }

  // Sums the columns of E over the share's rows.
  __device__ void columns_of_powers() const {
    for (int k = threadIdx.x; k < vectors; k += kThreads) {
      Numbers sums{};
      for_each_row<kAhead>(0, 1, [&](int, const Numbers* row) {
        const Numbers powers = row[k];
#pragma unroll
        for (int v = 0; v < V; ++v) sums.at[v] += powers.at[v];
      });
#pragma unroll
      for (int v = 0; v < V; ++v) partial(k)[v] = sums.at[v] > 0 ? Powers{0, sums.at[v]} : Powers{};
    }
  }

  // Does the same with powers taken relative to each column's maximum.
  __device__ void columns_of_scores() const {
    for (int k = threadIdx.x; k < vectors; k += kThreads) {
      Powers powers[V];
      for (int i = 0; i < count; ++i) {
        if (isnan(p.rows[first + i].factor)) continue;
        const Vector<T, V> values = scores(i)[k];
#pragma unroll
        for (int v = 0; v < V; ++v) powers[v].add(Vector<float, 1>{{static_cast<float>(values.at[v])}}, p.scale);
      }
#pragma unroll
      for (int v = 0; v < V; ++v) partial(k)[v] = powers[v];
    }
  }

  // Finds each row's factor from E and v, and if this is the last pass writes its codes.
  __device__ void rows_of_products(bool last) const {
    for_each_row<1>(threadIdx.x / kWarp, kWarps, [&](int i, const Numbers* row) {
      const auto products = [&](int k) {
        Numbers products = row[k];
        const Numbers factors = numbers(p.v, k);
#pragma unroll
        for (int v = 0; v < V; ++v) products.at[v] *= factors.at[v];
        return products;
      };
      float sum = 0;
      for_each_vector(products, [&](int, const Numbers& values) {
#pragma unroll
        for (int v = 0; v < V; ++v) sum += values.at[v];
      });
#pragma unroll
      for (int offset = kWarp / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAll, sum, offset);
      const float factor = sum > 0 ? 1 / sum : NAN;
      if (last) {
        Numbers* const to = codes(i);
        for_each_vector(products, [&](int k, Numbers q) {
#pragma unroll
          for (int v = 0; v < V; ++v) q.at[v] *= factor;
          to[k] = q;
        });
      } else if (threadIdx.x % kWarp == 0) {
        p.rows[first + i].factor = factor;
      }
    });
    __syncthreads();
  }

  // Does the same with x, whose maximum it finds, too.
  __device__ void rows_of_x(bool last) const {
    const int lane = threadIdx.x % kWarp;
    for (int i = threadIdx.x / kWarp; i < count; i += kWarps) {
      const Vector<T, V>* const row = scores(i);
      Powers powers;
      for (int k = lane; k < vectors; k += kWarp) powers.add(x(row[k], numbers(p.t, k), numbers(p.f, k)), 1);
#pragma unroll
      for (int offset = kWarp / 2; offset > 0; offset /= 2) {
        powers.merge({__shfl_xor_sync(kAll, powers.top, offset), __shfl_xor_sync(kAll, powers.sum, offset)}, 1);
      }
      const float factor = powers.sum > 0 ? 1 / powers.sum : NAN;
      if (last) {
        Numbers* const to = codes(i);
        for (int k = lane; k < vectors; k += kWarp) {
          Numbers q = x(row[k], numbers(p.t, k), numbers(p.f, k));
#pragma unroll
          for (int v = 0; v < V; ++v) q.at[v] = exp2f(q.at[v] - powers.top) * factor;
          to[k] = q;
        }
      } else if (lane == 0) {
        p.rows[first + i] = {powers.top, factor};
      }
    }
    __syncthreads();
  }

  // Sums the columns of Q, which are E v times the rows' factors, over the share's rows.
  __device__ void columns_of_products() const {
    for (int k = threadIdx.x; k < vectors; k += kThreads) {
      Numbers sums{};
      for_each_row<kAhead>(0, 1, [&](int i, const Numbers* row) {
        const float factor = p.rows[first + i].factor;
        const float weight = isnan(factor) ? 0 : factor;
        const Numbers powers = row[k];
#pragma unroll
        for (int v = 0; v < V; ++v) sums.at[v] += powers.at[v] * weight;
      });
      const Numbers factors = numbers(p.v, k);
#pragma unroll
      for (int v = 0; v < V; ++v) partial(k)[v].sum = sums.at[v] * factors.at[v];
    }
  }

  // Does the same with x.
  __device__ void columns_of_x() const {
    for (int k = threadIdx.x; k < vectors; k += kThreads) {
      const Numbers t = numbers(p.t, k), f = numbers(p.f, k);
      Numbers sums{};
      for (int i = 0; i < count; ++i) {
        const Row of = p.rows[first + i];
        if (isnan(of.factor)) continue;
        const Numbers q = x(scores(i)[k], t, f);
#pragma unroll
        for (int v = 0; v < V; ++v) sums.at[v] += exp2f(q.at[v] - of.top) * of.factor;
      }
#pragma unroll
      for (int v = 0; v < V; ++v) partial(k)[v].sum = sums.at[v];
    }
  }
};

// Adds the blocks' columns, and makes v of them, or t and f. Each block takes tiles of 32 columns.
template <class T>
__device__ void merge_columns(const Problem<T>& p, bool start, bool fits) {
  __shared__ Powers tile[kWarps][kWarp + 1];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kWarp; first < p.prototypes;
       first += static_cast<int64_t>(gridDim.x) * kWarp) {
    const int64_t k = first + lane;
    Powers powers;
    if (k < p.prototypes) {
      for (int block = warp; block < gridDim.x; block += kWarps) {
        const Powers part = p.partial[block * static_cast<int64_t>(p.prototypes) + k];
        if (start) {
          powers.merge(part, p.scale);
        } else {
          powers.sum += part.sum;
        }
      }
    }
    tile[warp][lane] = powers;
    __syncthreads();
    if (warp == 0 && k < p.prototypes) {
      for (int i = 1; i < kWarps; ++i) {
        if (start) {
          powers.merge(tile[i][lane], p.scale);
        } else {
          powers.sum += tile[i][lane].sum;
        }
      }
      const float sum = powers.sum > 0 ? powers.sum : 1;  // nothing is in an empty column, whatever its scale
      if (fits) {
        p.v[k] = (start ? 1 : p.v[k]) / sum;
      } else {
        if (start) p.t[k] = powers.top;
        p.f[k] = (start ? 0 : p.f[k]) - log2f(sum);
      }
    }
    __syncthreads();
  }
}

// Whether the powers of all blocks fit.
template <class T>
__device__ bool all_fit(const Problem<T>& p) {
  bool fits = true;
  for (int block = threadIdx.x % kWarp; block < gridDim.x; block += kWarp) fits &= p.fits[block] != 0;
  return __all_sync(kAll, fits);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads, 1) sinkhorn_kernel(const __grid_constant__ Problem<T> p) {
  extern __shared__ __align__(16) unsigned char memory[];
  const auto grid = cooperative_groups::this_grid();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * p.block_rows, left = p.samples - first;
  const int count = static_cast<int>(left < p.block_rows ? left : p.block_rows);
  const Share<T, V> share{p, reinterpret_cast<Vector<float, V>*>(memory), first, count, p.prototypes / V};
  bool fits = share.load();
  if (threadIdx.x == 0) p.fits[blockIdx.x] = fits;
  if (fits) {
    share.columns_of_powers();
  } else {
    share.columns_of_scores();
  }
  for (int iteration = 1;; ++iteration) {
    grid.sync();
    if (iteration == 1) fits = all_fit(p);
    merge_columns(p, /*start=*/iteration == 1, fits);
    grid.sync();
    const bool last = iteration == p.iterations;
    if (fits) {
      share.rows_of_products(last);
    } else {
      share.rows_of_x(last);
    }
    if (last) break;
    if (fits) {
      share.columns_of_products();
    } else {
      share.columns_of_x();
    }
  }
}

// The |c S| up to which all sums of rows of E v are within 2^-126 to 2^126, as explained above; below 0 if there is none.
float most_bits(int64_t samples, int64_t prototypes, int64_t iterations) {
  const double most = static_cast<double>(std::max(samples, prototypes));
  return static_cast<float>((126 - static_cast<double>(iterations) * std::log2(most)) / 2);
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
  // The limit is the kernel's, not this call's: the same for all, so that no other thread's call lowers it before the
  // launch.
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
      static_cast<Powers*>(partial.data_ptr()),
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
}  // namespace sslfast

STABLE_TORCH_LIBRARY_IMPL(sslfast, CUDA, library) {
  library.impl("sinkhorn_knopp.cuda", TORCH_BOX(&sslfast::sinkhorn_knopp));
}
