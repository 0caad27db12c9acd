// Soft cross-entropy on the CPU. With c = log2(e)/t, and for each row top = max_k x_k, z = sum_k 2^(c (x_k - top)) and
// mass = sum_k q_k:
//
//   loss = sum_k q_k (top - x_k) / t + mass ln z
//   d loss / d x_k = (mass 2^(c (x_k - top)) / z - q_k) / t
//
// Each row is read once from memory in either pass; beside its loss, the first keeps these three numbers for the
// second. Maxima are subtracted before anything is scaled: what is left is exact where it matters.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <tuple>

#include "cpu/common/matmul.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"
#include "cpu/common/simd.h"

namespace sslfast {
namespace {

constexpr int64_t kBlock = 1 << 15;  // elements that a thread takes at a time, about: 128 KiB a matrix

// The three numbers of a row that the forward pass keeps.
struct Statistics {
  float top, z, mass;
};

// The sums over a row.
struct Sums {
  float z = 0.0f;     // sum_k 2^(scale (x_k - top))
  float mass = 0.0f;  // sum_k q_k
  float gap = 0.0f;   // sum_k q_k (top - x_k)
};

SSLFAST_SIMD Sums sums_of(const float* x, const float* q, int64_t size, float scale, float top) {
  float z = 0.0f, mass = 0.0f, gap = 0.0f;
#pragma omp simd reduction(+ : z, mass, gap)
  for (int64_t k = 0; k < size; ++k) {
    z += exp2_nonpositive((x[k] - top) * scale);
    mass += q[k];
    gap += q[k] * (top - x[k]);
  }
  return {z, mass, gap};
}

// d_k = a 2^(scale (x_k - top)) - b q_k
SSLFAST_SIMD void gradient(
    float* d, const float* x, const float* q, int64_t size, float scale, float top, float a, float b) {
#pragma omp simd
  for (int64_t k = 0; k < size; ++k) d[k] = a * exp2_nonpositive((x[k] - top) * scale) - b * q[k];
}

// Calls body(x, q, row, rows) for all rows, some at a time: of logits and targets in fp32, from number `row` on.
template <class Body>
void for_each_block(const Tensor& logits, const Tensor& targets, const Body& body) {
  const int64_t samples = logits.size(0), block_rows = std::max<int64_t>(1, kBlock / logits.size(1));
  const int64_t cost = block_rows * logits.size(1) * kPowerCost;
  for_each_row(ceil_div(samples, block_rows), cost, [&](int64_t block) {
    const int64_t row = block * block_rows, rows = std::min(block_rows, samples - row);
    const Tensor x = as_fp32(rows_of(logits, row, rows)), q = as_fp32(rows_of(targets, row, rows));
    body(static_cast<const float*>(x.data_ptr()), static_cast<const float*>(q.data_ptr()), row, rows);
  });
}

}  // namespace

// Returns losses (B,) and the rows' statistics (B, 3), both fp32.
std::tuple<Tensor, Tensor> soft_cross_entropy(Tensor logits, Tensor targets, double temperature) {
  const int64_t samples = logits.size(0), k = logits.size(1);
  Tensor losses = empty({samples}, ScalarType::Float);
  Tensor statistics = empty({samples, 3}, ScalarType::Float);
  float* const loss = losses.mutable_data_ptr<float>();
  auto* const row_statistics = reinterpret_cast<Statistics*>(statistics.mutable_data_ptr<float>());
  const float scale = static_cast<float>(M_LOG2E / temperature), inverse_t = static_cast<float>(1 / temperature);
  for_each_block(logits, targets, [&](const float* x, const float* q, int64_t row, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) {
      const float top = maximum(x + i * k, k);
      const Sums sums = sums_of(x + i * k, q + i * k, k, scale, top);
      loss[row + i] = sums.gap * inverse_t + sums.mass * std::log(sums.z);
      row_statistics[row + i] = {top, sums.z, sums.mass};
    }
  });
  return {losses, statistics};
}

// Returns the gradient to the logits (B, K), in their dtype, from that to the losses (B,).
Tensor soft_cross_entropy_backward(
    Tensor d_losses, Tensor logits, Tensor targets, Tensor statistics, double temperature) {
  const int64_t k = logits.size(1);
  const bool is_fp32 = logits.scalar_type() == ScalarType::Float;
  Tensor d_logits = empty({logits.size(0), k}, logits.scalar_type());
  const Tensor d_losses_fp32 = as_fp32(d_losses), statistics_fp32 = as_fp32(statistics);
  const auto* const d_loss = static_cast<const float*>(d_losses_fp32.data_ptr());
  const auto* const row_statistics = reinterpret_cast<const Statistics*>(statistics_fp32.data_ptr());
  const float scale = static_cast<float>(M_LOG2E / temperature), inverse_t = static_cast<float>(1 / temperature);
  for_each_block(logits, targets, [&](const float* x, const float* q, int64_t row, int64_t rows) {
    const auto converted = std::make_unique_for_overwrite<float[]>(is_fp32 ? 0 : rows * k);
    float* const d = is_fp32 ? d_logits.mutable_data_ptr<float>() + row * k : converted.get();
    for (int64_t i = 0; i < rows; ++i) {
      const auto [top, z, mass] = row_statistics[row + i];
      const float b = d_loss[row + i] * inverse_t, a = b * mass / z;
      gradient(d + i * k, x + i * k, q + i * k, k, scale, top, a, b);
    }
    if (!is_fp32) {
      Tensor all = d_logits, part = torch::stable::narrow(all, 0, row, rows);
      torch::stable::copy_(part, as_matrix(d, rows, k));
    }
  });
  return d_logits;
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("soft_cross_entropy.cpp", TORCH_BOX(&soft_cross_entropy));
  library.impl("soft_cross_entropy_backward.cpp", TORCH_BOX(&soft_cross_entropy_backward));
}

}  // namespace sslfast
