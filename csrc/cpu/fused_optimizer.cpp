// The optimizers' steps on the CPU, fused with what follows the parameters: a block of a parameter is updated, and
// its moving average and copy while it is in the cache. All parameters in one parallel region, each thread an equal
// share of all elements; LARS takes its norms in one before, of chunks that do not depend on the threads.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "cpu/common/average.h"
#include "cpu/common/parallel.h"
#include "cpu/common/simd.h"
#include "common/optimizer_arrays.h"

namespace sslfast {
namespace {

constexpr int64_t kBlock = 2048;    // elements; six fp32 arrays of them take 48 KiB
constexpr int64_t kGrain = 16384;   // elements a thread is woken for
constexpr int64_t kChunk = 1 << 15; // elements whose squares are summed on one thread

struct Sgd {
  float lr, momentum, weight_decay;
  bool nesterov;
};

struct AdamW {
  float keep, step, root, beta1, rest1, beta2, rest2, eps;
};

// d = ratio (g + b w);  v = m v + d;  w -= lr v, or lr (d + m v) by Nesterov. Without v: w -= lr d.
SSLFAST_SIMD void sgd_block(const Sgd& rule, float ratio, float* w, const float* g, float* v, int64_t count) {
  const float lr = rule.lr, m = rule.momentum, b = rule.weight_decay;
  if (!v) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) w[i] -= lr * (ratio * (g[i] + b * w[i]));
  } else if (rule.nesterov) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float d = ratio * (g[i] + b * w[i]);
      v[i] = m * v[i] + d;
      w[i] -= lr * (d + m * v[i]);
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      v[i] = m * v[i] + ratio * (g[i] + b * w[i]);
      w[i] -= lr * v[i];
    }
  }
}

// lr b = 1 - keep, lr / (1 - beta1^steps) = step, sqrt(1 - beta2^steps) = root and 1 - beta = rest:
// m = beta1 m + rest1 g;  s = beta2 s + rest2 g^2;  w = keep w - step m / (sqrt(s) / root + eps).
SSLFAST_SIMD void adamw_block(const AdamW& rule, float* w, const float* g, float* m, float* s, int64_t count) {
  const auto [keep, step, root, beta1, rest1, beta2, rest2, eps] = rule;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    m[i] = beta1 * m[i] + rest1 * g[i];
    s[i] = beta2 * s[i] + rest2 * g[i] * g[i];
    w[i] = keep * w[i] - step * m[i] / (std::sqrt(s[i]) / root + eps);
  }
}

// Sums of w^2 and of (g + b w)^2.
SSLFAST_SIMD std::array<float, 2> squares_block(const float* w, const float* g, float b, int64_t count) {
  float weights = 0.0f, directions = 0.0f;
#pragma omp simd reduction(+ : weights, directions)
  for (int64_t i = 0; i < count; ++i) {
    const float d = g[i] + b * w[i];
    weights += w[i] * w[i];
    directions += d * d;
  }
  return {weights, directions};
}

// Calls block(begin, gradient, count) for consecutive blocks of elements [begin, end) of a parameter, with the
// gradient in fp32.
template <class Block>
void for_each_block(const ParameterArrays& arrays, int64_t begin, int64_t end, const Block& block) {
  float buffer[kBlock];
  for (; begin < end; begin += kBlock) {
    const int64_t count = std::min(kBlock, end - begin);
    const float* gradient = static_cast<const float*>(arrays.gradient) + begin;
    if (arrays.gradient_type != ScalarType::Float) {
      EmaPair pair = {buffer, arrays.gradient, arrays.count, ScalarType::Float, arrays.gradient_type};
      pair.source = slice(pair, begin, count).source;
      pair.count = count;
      average(pair, /*momentum=*/0);
      gradient = buffer;
    }
    block(begin, gradient, count);
  }
}

// Moves the target and the shadow of elements [begin, begin + count).
void follow(const ParameterArrays& arrays, int64_t begin, int64_t count, double ema_momentum) {
  const auto move = [&](void* follower, ScalarType type, double momentum) {
    average(slice({follower, arrays.parameter, arrays.count, type, ScalarType::Float}, begin, count), momentum);
  };
  if (arrays.target && ema_momentum != 1) move(arrays.target, arrays.target_type, ema_momentum);
  if (arrays.shadow) move(arrays.shadow, arrays.shadow_type, /*momentum=*/0);
}

// Calls rule(i, begin, gradient, count) for every block of every parameter i, and lets what follows it follow.
template <class Rule>
void update(const std::vector<ParameterArrays>& all, double ema_momentum, const Rule& rule) {
  std::vector<int64_t> ends;  // of each parameter, in elements counted over all
  ends.reserve(all.size());
  int64_t total = 0;
  for (const ParameterArrays& arrays : all) ends.push_back(total += arrays.count);

  torch::stable::parallel_for(0, total, kGrain, [&](int64_t begin, int64_t end) {
    size_t i = std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin();
    for (; begin < end; ++i) {
      const int64_t stop = std::min(end, ends[i]), first = ends[i] - all[i].count;
      for_each_block(all[i], begin - first, stop - first, [&](int64_t at, const float* gradient, int64_t count) {
        rule(i, at, gradient, count);
        follow(all[i], at, count, ema_momentum);
      });
      begin = stop;
    }
  });
}

// eta |w| / |g + b w| of every parameter; 1 where a norm is 0.
std::vector<float> trust_ratios(const std::vector<ParameterArrays>& all, float weight_decay, double eta) {
  std::vector<int64_t> ends;  // of each parameter, in chunks counted over all
  int64_t chunks = 0;
  for (const ParameterArrays& arrays : all) ends.push_back(chunks += ceil_div(arrays.count, kChunk));

  std::vector<std::array<double, 2>> sums(chunks);
  for_each_row(chunks, kChunk, [&](int64_t chunk) {
    const size_t i = std::upper_bound(ends.begin(), ends.end(), chunk) - ends.begin();
    const int64_t begin = (chunk - (i ? ends[i - 1] : 0)) * kChunk, end = std::min(begin + kChunk, all[i].count);
    for_each_block(all[i], begin, end, [&](int64_t at, const float* gradient, int64_t count) {
      const auto [weights, directions] = squares_block(all[i].parameter + at, gradient, weight_decay, count);
      sums[chunk][0] += weights;
      sums[chunk][1] += directions;
    });
  });

  std::vector<float> ratios(all.size());
  int64_t chunk = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    double weights = 0, directions = 0;
    for (; chunk < ends[i]; ++chunk) {
      weights += sums[chunk][0];
      directions += sums[chunk][1];
    }
    ratios[i] = weights > 0 && directions > 0 ? static_cast<float>(eta * std::sqrt(weights / directions)) : 1.0f;
  }
  return ratios;
}

bool is_skipped(const std::optional<Tensor>& found_inf) {
  return found_inf && *static_cast<const float*>(found_inf->data_ptr()) == 1;
}

// The step of SGD, with gradients scaled by `ratios`, one a parameter, unless there are none.
void sgd_step(const std::vector<ParameterArrays>& all, const Sgd& rule, const std::vector<float>& ratios,
              double ema_momentum) {
  update(all, ema_momentum, [&](size_t i, int64_t at, const float* gradient, int64_t count) {
    float* const v = all[i].state[0];
    sgd_block(rule, ratios.empty() ? 1.0f : ratios[i], all[i].parameter + at, gradient, v ? v + at : nullptr, count);
  });
}

}  // namespace

void sgd_ema_step_(
    const std::vector<Tensor>& params, const std::vector<Tensor>& grads, const std::vector<Tensor>& momenta,
    const std::vector<Tensor>& targets, const std::vector<Tensor>& shadows, double lr,
    const std::optional<Tensor>& lr_tensor, double ema_momentum, const std::optional<Tensor>& ema_momentum_tensor,
    const std::optional<Tensor>& found_inf, double momentum, double weight_decay, bool nesterov) {
  OptimizerArrays lists({params, grads, {&momenta, nullptr}, nullptr, targets, shadows});
  if (is_skipped(found_inf)) return;
  const Sgd rule = {static_cast<float>(number(lr, lr_tensor)), static_cast<float>(momentum),
                    static_cast<float>(weight_decay), nesterov};
  sgd_step(lists.arrays(), rule, /*ratios=*/{}, number(ema_momentum, ema_momentum_tensor));
  lists.write_back();
}

void lars_ema_step_(
    const std::vector<Tensor>& params, const std::vector<Tensor>& grads, const std::vector<Tensor>& momenta,
    const std::vector<Tensor>& targets, const std::vector<Tensor>& shadows, double lr,
    const std::optional<Tensor>& lr_tensor, double ema_momentum, const std::optional<Tensor>& ema_momentum_tensor,
    const std::optional<Tensor>& found_inf, double momentum, double weight_decay, double trust_coefficient) {
  OptimizerArrays lists({params, grads, {&momenta, nullptr}, nullptr, targets, shadows});
  if (is_skipped(found_inf)) return;
  const Sgd rule = {static_cast<float>(number(lr, lr_tensor)), static_cast<float>(momentum),
                    static_cast<float>(weight_decay), /*nesterov=*/false};
  const std::vector<float> ratios = trust_ratios(lists.arrays(), rule.weight_decay, trust_coefficient);
  sgd_step(lists.arrays(), rule, ratios, number(ema_momentum, ema_momentum_tensor));
  lists.write_back();
}

void adamw_ema_step_(
    const std::vector<Tensor>& params, const std::vector<Tensor>& grads, const std::vector<Tensor>& exp_avgs,
    const std::vector<Tensor>& exp_avg_sqs, const std::vector<Tensor>& steps, const std::vector<Tensor>& targets,
    const std::vector<Tensor>& shadows, double lr, const std::optional<Tensor>& lr_tensor, double ema_momentum,
    const std::optional<Tensor>& ema_momentum_tensor, const std::optional<Tensor>& found_inf, double beta1,
    double beta2, double eps, double weight_decay) {
  OptimizerArrays lists({params, grads, {&exp_avgs, &exp_avg_sqs}, &steps, targets, shadows});
  if (is_skipped(found_inf)) return;
  const std::vector<ParameterArrays>& all = lists.arrays();
  const double rate = number(lr, lr_tensor);
  std::vector<AdamW> rules;  // one a parameter: each counts its own steps
  rules.reserve(all.size());
  for (const ParameterArrays& arrays : all) {
    const double done = *arrays.steps += 1;
    const double step = rate / (1 - std::pow(beta1, done)), root = std::sqrt(1 - std::pow(beta2, done));
    rules.push_back({
        .keep = static_cast<float>(1 - rate * weight_decay),
        .step = static_cast<float>(step),
        .root = static_cast<float>(root),
        .beta1 = static_cast<float>(beta1),
        .rest1 = static_cast<float>(1 - beta1),
        .beta2 = static_cast<float>(beta2),
        .rest2 = static_cast<float>(1 - beta2),
        .eps = static_cast<float>(eps),
    });
  }
  update(all, number(ema_momentum, ema_momentum_tensor),
         [&](size_t i, int64_t at, const float* gradient, int64_t count) {
           adamw_block(rules[i], all[i].parameter + at, gradient, all[i].state[0] + at, all[i].state[1] + at, count);
         });
  lists.write_back();
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("sgd_ema_step_.cpp", TORCH_BOX(&sgd_ema_step_));
  library.impl("lars_ema_step_.cpp", TORCH_BOX(&lars_ema_step_));
  library.impl("adamw_ema_step_.cpp", TORCH_BOX(&adamw_ema_step_));
}

}  // namespace sslfast
