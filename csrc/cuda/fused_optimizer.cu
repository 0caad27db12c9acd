// The optimizers' steps on the GPU, fused with what follows the parameters: one launch over up to 384 parameters,
// which are its argument (see multi_tensor.cuh), reads and writes each number once. Before it, LARS sums squares, in
// chunks whose sums the blocks of the update add up in a fixed order, and AdamW counts steps.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "cuda/common/launch.cuh"
#include "cuda/common/multi_tensor.cuh"
#include "common/optimizer_arrays.h"

namespace sslfast {
namespace {

constexpr int64_t kChunk = 8192;       // elements a block
constexpr int64_t kNormChunk = 32768;  // the same where squares are summed: few sums for the update to add up
constexpr int kN = 4;                  // elements a thread works on at a time: 16 bytes of fp32
constexpr int kBlocksPerProcessor = 4;  // 64 KB of loads under way, or more; with 5, they spill

template <int kCapacity>
struct Table {
  float* parameter[kCapacity];
  const void* gradient[kCapacity];
  float* state[2][kCapacity];
  float* steps[kCapacity];
  void* target[kCapacity];
  void* shadow[kCapacity];
  int64_t count[kCapacity];
  uint32_t chunks_end[kCapacity];       // chunks of this parameter and of those before it
  uint32_t norm_chunks_end[kCapacity];  // the same in chunks of kNormChunk
  Type gradient_type[kCapacity];
  Type target_type[kCapacity];
  Type shadow_type[kCapacity];
  int parameters;
};

// What a step is given beside its rule.
struct Step {
  Number lr, ema_momentum;
  const float* found_inf;  // null: no step is skipped

  __device__ bool is_skipped() const { return found_inf != nullptr && *found_inf == 1; }
};

constexpr int kFew = 48, kMany = 384;
static_assert(sizeof(Table<kFew>) <= kFewBytes && sizeof(Table<kMany>) + 256 <= kManyBytes);

// The sum over the block's threads, the same to each and in an order that does not change.
__device__ __forceinline__ float2 sum_of_block(float2 value) {
  __shared__ float2 warps[kThreads / 32];
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) {
    value.x += __shfl_xor_sync(0xffffffffu, value.x, lane);
    value.y += __shfl_xor_sync(0xffffffffu, value.y, lane);
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  float2 sum = {0, 0};
#pragma unroll
  for (const float2& warp : warps) {
    sum.x += warp.x;
    sum.y += warp.y;
  }
  return sum;
}

// d = ratio (g + b w);  v = m v + d;  w -= lr v, or lr (d + m v) by Nesterov. Without v: w -= lr d.
template <bool kAdapt>  // LARS: ratio = eta |w| / |g + b w|, or 1 where a norm is 0; else 1
struct Sgd {
  static constexpr int kStates = 1;
  float momentum, weight_decay, eta;
  bool nesterov;
  const float2* squares;  // of each chunk of kNormChunk

  struct Numbers {
    float lr, ratio;
  };

  template <int kCapacity>
  __device__ Numbers prepare(const Table<kCapacity>& table, int i, double lr) const {
    float ratio = 1;
    if constexpr (kAdapt) {
      float2 sum = {0, 0};
      const uint32_t first = i == 0 ? 0 : table.norm_chunks_end[i - 1];
      for (uint32_t chunk = first + threadIdx.x; chunk < table.norm_chunks_end[i]; chunk += kThreads) {
        sum.x += squares[chunk].x;
        sum.y += squares[chunk].y;
      }
      sum = sum_of_block(sum);
      if (sum.x > 0 && sum.y > 0) ratio = eta * sqrtf(sum.x) / sqrtf(sum.y);
    }
    return {static_cast<float>(lr), ratio};
  }

  __device__ void operator()(const Numbers& numbers, float& w, float g, float& v, float&) const {
    const float d = numbers.ratio * (g + weight_decay * w);
    v = momentum * v + d;
    w -= numbers.lr * (nesterov ? d + momentum * v : v);
  }
};

// m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;  w = (1 - lr b) w - step m / (sqrt(s) / root + eps) with
// step = lr / (1 - beta1^steps) and root = sqrt(1 - beta2^steps).
struct AdamW {
  static constexpr int kStates = 2;
  float beta1, rest1, beta2, rest2, log_beta1, log_beta2, eps;  // rest = 1 - beta
  double weight_decay;

  struct Numbers {
    float keep, step, root;
  };

  template <int kCapacity>
  __device__ Numbers prepare(const Table<kCapacity>& table, int i, double lr) const {
    const float steps = *table.steps[i];
    return {static_cast<float>(1 - lr * weight_decay), static_cast<float>(lr) / -expm1f(steps * log_beta1),
            sqrtf(-expm1f(steps * log_beta2))};
  }

  __device__ void operator()(const Numbers& numbers, float& w, float g, float& m, float& s) const {
    m = beta1 * m + rest1 * g;
    s = beta2 * s + rest2 * g * g;
    w = numbers.keep * w - numbers.step * m / (sqrtf(s) / numbers.root + eps);
  }
};

// Elements [at, at + N) of parameter i: the rule, and what follows.
template <int N, int kCapacity, class Rule>
__device__ __forceinline__ void update(const Table<kCapacity>& table, int i, int64_t at, const Rule& rule,
                                       const typename Rule::Numbers& numbers, float weight) {
  float w[N], g[N], first[N] = {}, second[N] = {}, k[N] = {};
  float* const state0 = table.state[0][i];
  float* const state1 = Rule::kStates == 2 ? table.state[1][i] : nullptr;
  void* const target = weight == 0 ? nullptr : table.target[i];
  load_as<float>(w, table.parameter[i], at);
  load(g, table.gradient[i], table.gradient_type[i], at);
  if (state0) load_as<float>(first, state0, at);
  if (state1) load_as<float>(second, state1, at);
  if (target) load(k, target, table.target_type[i], at);
#pragma unroll
  for (int n = 0; n < N; ++n) {
    rule(numbers, w[n], g[n], first[n], second[n]);
    k[n] = average(k[n], w[n], weight);
  }
  store_as<float>(table.parameter[i], at, w);
  if (state0) store_as<float>(state0, at, first);
  if (state1) store_as<float>(state1, at, second);
  if (target) store(target, table.target_type[i], at, k);
  if (table.shadow[i]) store(table.shadow[i], table.shadow_type[i], at, w);
}

// Whether all arrays of parameter i can be read kN elements at a time.
template <int kCapacity>
__device__ __forceinline__ bool is_aligned(const Table<kCapacity>& table, int i) {
  const auto address = [](const void* data) { return reinterpret_cast<uintptr_t>(data); };
  return (address(table.parameter[i]) | address(table.gradient[i]) | address(table.state[0][i]) |
          address(table.state[1][i]) | address(table.target[i]) | address(table.shadow[i])) % kVectorBytes == 0;
}

// Calls vector(at) and scalar(at) for what this thread does of elements [begin, end).
template <class Vectors, class Scalars>
__device__ __forceinline__ void for_each(bool aligned, int64_t begin, int64_t end, const Vectors& vector,
                                         const Scalars& scalar) {
  if (aligned) {
    const int64_t stop = begin + (end - begin) / kN * kN;
    for (int64_t at = begin + threadIdx.x * kN; at < stop; at += kThreads * kN) vector(at);
    begin = stop;
  }
  for (int64_t at = begin + threadIdx.x; at < end; at += kThreads) scalar(at);
}

template <int kCapacity, class Rule>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    update_kernel(const __grid_constant__ Table<kCapacity> table, const Rule rule, const Step step) {
  if (step.is_skipped()) return;
  const int i = tensor_of(blockIdx.x, table.chunks_end, table.parameters);
  const uint32_t first = i == 0 ? 0 : table.chunks_end[i - 1];
  const int64_t begin = (blockIdx.x - first) * kChunk;
  const auto numbers = rule.prepare(table, i, read(step.lr));
  const float weight = static_cast<float>(1 - read(step.ema_momentum));
  for_each(
      is_aligned(table, i), begin, min(begin + kChunk, table.count[i]),
      [&](int64_t at) { update<kN>(table, i, at, rule, numbers, weight); },
      [&](int64_t at) { update<1>(table, i, at, rule, numbers, weight); });
}

// squares[chunk] = the chunk's sums of w^2 and of (g + b w)^2.
template <int kCapacity>
__global__ void __launch_bounds__(kThreads) norms_kernel(
    const __grid_constant__ Table<kCapacity> table, float weight_decay, Step step, float2* squares) {
  if (step.is_skipped()) return;
  const int i = tensor_of(blockIdx.x, table.norm_chunks_end, table.parameters);
  const uint32_t first = i == 0 ? 0 : table.norm_chunks_end[i - 1];
  const int64_t begin = (blockIdx.x - first) * kNormChunk;
  float2 sum = {0, 0};
  const auto add = [&]<int N>(const float(&w)[N], const float(&g)[N]) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const float d = g[n] + weight_decay * w[n];
      sum.x += w[n] * w[n];
      sum.y += d * d;
    }
  };
  const auto add_at = [&]<int N>(int64_t at) {
    float w[N], g[N];
    load_as<float>(w, table.parameter[i], at);
    load(g, table.gradient[i], table.gradient_type[i], at);
    add(w, g);
  };
  for_each(
      is_aligned(table, i), begin, min(begin + kNormChunk, table.count[i]),
      [&](int64_t at) { add_at.template operator()<kN>(at); },
      [&](int64_t at) { add_at.template operator()<1>(at); });
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

template <int kCapacity>
__global__ void __launch_bounds__(kThreads)
    count_kernel(const __grid_constant__ Table<kCapacity> table, const Step step) {
  if (step.is_skipped()) return;
  for (int i = threadIdx.x; i < table.parameters; i += kThreads) *table.steps[i] += 1;
}

template <int kCapacity>
Table<kCapacity> table_of(const ParameterArrays* arrays, size_t count) {
  Table<kCapacity> table;
  uint32_t chunks = 0, norm_chunks = 0;  // no memory is large enough to overflow them, or the grid
  for (size_t i = 0; i < count; ++i) {
    const ParameterArrays& of = arrays[i];
    chunks += static_cast<uint32_t>((of.count + kChunk - 1) / kChunk);
    norm_chunks += static_cast<uint32_t>((of.count + kNormChunk - 1) / kNormChunk);
    table.parameter[i] = of.parameter;
    table.gradient[i] = of.gradient;
    table.state[0][i] = of.state[0];
    table.state[1][i] = of.state[1];
    table.steps[i] = of.steps;
    table.target[i] = of.target;
    table.shadow[i] = of.shadow;
    table.count[i] = of.count;
    table.chunks_end[i] = chunks;
    table.norm_chunks_end[i] = norm_chunks;
    table.gradient_type[i] = type_of(of.gradient_type);
    table.target_type[i] = type_of(of.target_type);
    table.shadow_type[i] = type_of(of.shadow_type);
  }
  table.parameters = static_cast<int>(count);
  return table;
}

template <int kCapacity, class Rule>
void launch(const ParameterArrays* arrays, size_t count, Rule rule, const Step& step, const Tensor& parameter,
            const LaunchScope& scope) {
  const Table<kCapacity> table = table_of<kCapacity>(arrays, count);
  const uint32_t chunks = table.chunks_end[count - 1], norm_chunks = table.norm_chunks_end[count - 1];
  std::optional<Tensor> squares;
  if constexpr (std::is_same_v<Rule, Sgd<true>>) {
    if (norm_chunks == 0) return;
    squares = torch::stable::new_empty(parameter, {norm_chunks, 2}, ScalarType::Float);
    rule.squares = static_cast<const float2*>(squares->data_ptr());
    norms_kernel<kCapacity><<<norm_chunks, kThreads, 0, scope.stream>>>(
        table, rule.weight_decay, step, static_cast<float2*>(squares->data_ptr()));
    scope.check();
  }
  if constexpr (std::is_same_v<Rule, AdamW>) {
    count_kernel<kCapacity><<<1, kThreads, 0, scope.stream>>>(table, step);
    scope.check();
  }
  if (chunks == 0) return;
  update_kernel<kCapacity, Rule><<<chunks, kThreads, 0, scope.stream>>>(table, rule, step);
  scope.check();
}

template <class Rule>
void run(const OptimizerLists& lists, const Rule& rule, const Number& lr, const Number& ema_momentum,
         const std::optional<Tensor>& found_inf) {
  if (lists.parameters.empty()) return;
  const Tensor& parameter = lists.parameters[0];
  const LaunchScope scope(parameter);
  OptimizerArrays flat(lists);
  const std::vector<ParameterArrays>& arrays = flat.arrays();
  const Step step = {lr, ema_momentum, found_inf ? static_cast<const float*>(found_inf->data_ptr()) : nullptr};
  for (size_t i = 0; i < arrays.size(); i += kMany) {
    const size_t count = std::min<size_t>(kMany, arrays.size() - i);
    (count <= kFew ? launch<kFew, Rule> : launch<kMany, Rule>)(&arrays[i], count, rule, step, parameter, scope);
  }
  flat.write_back();
}

void sgd_ema_step_(
    const std::vector<Tensor>& params, const std::vector<Tensor>& grads, const std::vector<Tensor>& momenta,
    const std::vector<Tensor>& targets, const std::vector<Tensor>& shadows, double lr,
    const std::optional<Tensor>& lr_tensor, double ema_momentum, const std::optional<Tensor>& ema_momentum_tensor,
    const std::optional<Tensor>& found_inf, double momentum, double weight_decay, bool nesterov) {
  const Sgd<false> rule = {static_cast<float>(momentum), static_cast<float>(weight_decay), 0, nesterov, nullptr};
  run({params, grads, {&momenta, nullptr}, nullptr, targets, shadows}, rule, number_of(lr, lr_tensor),
      number_of(ema_momentum, ema_momentum_tensor), found_inf);
}

void lars_ema_step_(
    const std::vector<Tensor>& params, const std::vector<Tensor>& grads, const std::vector<Tensor>& momenta,
    const std::vector<Tensor>& targets, const std::vector<Tensor>& shadows, double lr,
    const std::optional<Tensor>& lr_tensor, double ema_momentum, const std::optional<Tensor>& ema_momentum_tensor,
    const std::optional<Tensor>& found_inf, double momentum, double weight_decay, double trust_coefficient) {
  const Sgd<true> rule = {static_cast<float>(momentum), static_cast<float>(weight_decay),
                          static_cast<float>(trust_coefficient), false, nullptr};
  run({params, grads, {&momenta, nullptr}, nullptr, targets, shadows}, rule, number_of(lr, lr_tensor),
      number_of(ema_momentum, ema_momentum_tensor), found_inf);
}

void adamw_ema_step_(
    const std::vector<Tensor>& params, const std::vector<Tensor>& grads, const std::vector<Tensor>& exp_avgs,
    const std::vector<Tensor>& exp_avg_sqs, const std::vector<Tensor>& steps, const std::vector<Tensor>& targets,
    const std::vector<Tensor>& shadows, double lr, const std::optional<Tensor>& lr_tensor, double ema_momentum,
    const std::optional<Tensor>& ema_momentum_tensor, const std::optional<Tensor>& found_inf, double beta1,
    double beta2, double eps, double weight_decay) {
  const AdamW rule = {
      .beta1 = static_cast<float>(beta1),
      .rest1 = static_cast<float>(1 - beta1),
      .beta2 = static_cast<float>(beta2),
      .rest2 = static_cast<float>(1 - beta2),
      .log_beta1 = static_cast<float>(std::log(beta1)),
      .log_beta2 = static_cast<float>(std::log(beta2)),
      .eps = static_cast<float>(eps),
      .weight_decay = weight_decay,
  };
  run({params, grads, {&exp_avgs, &exp_avg_sqs}, &steps, targets, shadows}, rule, number_of(lr, lr_tensor),
      number_of(ema_momentum, ema_momentum_tensor), found_inf);
}

}  // namespace
}  // namespace sslfast

STABLE_TORCH_LIBRARY_IMPL(sslfast, CUDA, library) {
  library.impl("sgd_ema_step_.cuda", TORCH_BOX(&sslfast::sgd_ema_step_));
  library.impl("lars_ema_step_.cuda", TORCH_BOX(&sslfast::lars_ema_step_));
  library.impl("adamw_ema_step_.cuda", TORCH_BOX(&sslfast::adamw_ema_step_));
}
