// In-batch InfoNCE on the CPU. With s_ij = q_i.k_j, c = log2(e)/t, the target T of row i, its negatives j (all other
// keys, but those that the ids exclude), N_i = sum_j 2^(c s_ij) over them and Z_i = 2^(c s_iT) + N_i:
//
//   loss_i = ln 2 (log2 Z_i - c s_iT)
//   g_ij = d loss_i / d s_ij = 2^(c s_ij) / (Z_i t), 0 where excluded; g_iT = -N_i / (Z_i t)
//   dq_i = sum_j g_ij k_j        dk_j = sum_i g_ij q_i
//   positive_rank_i = |{j : s_ij > s_iT}| over the negatives
//
// The rows go by in batches whose products with all keys stay small. A thread takes a block of a batch's rows: a
// matrix product gives s_ij, each row turns into g_ij where it lies, a second product gives dq. Then the threads take
// blocks of keys, and a third product adds the batch's part of dk. So each product is computed once, which is why the
// gradient to the keys is taken in the forward pass. The cut depends on the shape alone.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>

#include "cpu/common/matmul.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"

namespace sslfast {
namespace {

constexpr int64_t kBatch = 1024;        // rows at least
constexpr int64_t kProducts = 1 << 21;  // of a batch to aim at: 8 MiB
constexpr int64_t kColumns = 128;       // of dk that a task takes

// Rows that a task takes of `size`: enough for a fast product, but if they can be, few enough for 8 threads.
int64_t block_rows(int64_t size) { return size < 1024 ? 64 : 128; }

// The rule by which a row's products make its loss.
struct Rule {
  double temperature;
  int64_t offset, chunk_rows;  // row i has target i % chunk_rows + offset
  const int64_t* row_ids;      // null: no key is excluded
  const int64_t* key_ids;
  const float* weights;  // of the rows' losses, which their gradients take; null: 1
  double share;          // of each loss in what is returned, which the gradients take: 1 / N of a mean
};

// Turns a row of s_j into g_j, if asked to, and returns the row's loss. Writes the positive's rank unless
// `positive_rank` is null.
float to_gradient(float* row, int64_t i, int64_t keys, const Rule& rule, bool need_gradient, int64_t* positive_rank) {
  constexpr float excluded = -std::numeric_limits<float>::infinity();
  const float scale = static_cast<float>(M_LOG2E / rule.temperature);
  const int64_t target = i % rule.chunk_rows + rule.offset;
  const float s = row[target];
  row[target] = excluded;  // from the negatives
  if (rule.row_ids) {
    for (int64_t j = 0; j < keys; ++j) row[j] = rule.key_ids[j] == rule.row_ids[i] ? excluded : row[j];
  }
  if (positive_rank) *positive_rank = count_above(row, keys, s);
  const float top = std::max(s, maximum(row, keys));
  const float negatives = powers(row, keys, scale, top), positive = std::exp2((s - top) * scale);
  if (need_gradient) {
    const double weight = rule.share * (rule.weights ? rule.weights[i] : 1.0);
    const float factor = static_cast<float>(weight / ((negatives + positive) * rule.temperature));
    scale_by(row, keys, factor);
    row[target] = -negatives * factor;
  }
  // Exact also where the loss is nearly 0, for positive is 1 there.
  return static_cast<float>(M_LN2) * ((top - s) * scale) + std::log1p(negatives + (positive - 1.0f));
}

// Part of a (rows, columns) matrix: `height` rows from `top` and `width` columns from `left`, or as many as there are.
Tensor part_of(const float* data, int64_t rows, int64_t columns, int64_t top, int64_t height, int64_t left,
                int64_t width) {
  return as_matrix(data + top * columns + left, std::min(height, rows - top), std::min(width, columns - left),
                   columns, 1);
}

// Writes the losses (N,) to `loss`; the gradients of their weighted sum to `dq`, (N, D), and `dk`, (M, D), and the
// positive ranks to `positive_rank`, (N,), unless these are null. All are contiguous.
void run(const float* queries, int64_t n, const float* keys, int64_t m, int64_t d, const Rule& rule, float* loss,
         float* dq, float* dk, int64_t* positive_rank) {
  const int64_t batch = std::min(n, std::max(kBatch, kProducts / m / kBatch * kBatch));
  const int64_t query_rows = block_rows(n), strips = ceil_div(d, kColumns), key_rows = block_rows(m * strips);
  const auto products = std::make_unique_for_overwrite<float[]>(batch * m);

  for (int64_t start = 0; start < n; start += batch) {
    const int64_t rows = std::min(batch, n - start);
    for_each_task(ceil_div(rows, query_rows), [&](int64_t task) {
      const int64_t first = task * query_rows, count = std::min(query_rows, rows - first), i = start + first;
      float* const block = &products[first * m];
      const Tensor all_keys = as_matrix(keys, m, d);
      matmul_into(as_matrix(block, count, m), as_matrix(queries + i * d, count, d),
                  transposed(all_keys));
      for (int64_t r = 0; r < count; ++r) {
        loss[i + r] =
            to_gradient(block + r * m, i + r, m, rule, dq || dk, positive_rank ? positive_rank + i + r : nullptr);
      }
      if (dq) matmul_into(as_matrix(dq + i * d, count, d), as_matrix(block, count, m), all_keys);
    });
    if (!dk) continue;
    for_each_task(ceil_div(m, key_rows) * strips, [&](int64_t task) {
      const int64_t key = task / strips * key_rows, column = task % strips * kColumns;
      const auto multiply = start ? matmul_add : matmul_into;
      multiply(part_of(dk, m, d, key, key_rows, column, kColumns),
               transposed(part_of(products.get(), rows, m, 0, rows, key, key_rows)),
               part_of(queries + start * d, rows, d, 0, rows, column, kColumns));
    });
  }
}

using Optional = std::optional<Tensor>;

template <class T>
const T* data(Optional& tensor) {
  if (!tensor) return nullptr;
  tensor = torch::stable::contiguous(*tensor);
  return static_cast<const T*>(tensor->data_ptr());
}

// Returns losses (N,), dq (N, D) or (0, D), dk (M, D) or (0, D), and positive ranks (N,) or (0,).
std::tuple<Tensor, Tensor, Tensor, Tensor> compute(
    const Tensor& query, const Tensor& keys, Optional row_ids, Optional key_ids, Optional weights, double temperature,
    int64_t offset, int64_t chunks, bool mean, bool need_dq, bool need_dk, bool need_positive_rank) {
  const int64_t n = query.size(0), m = keys.size(0), d = query.size(1);
  Tensor loss = empty({n}, ScalarType::Float);
  Tensor dq = empty({need_dq ? n : 0, d}, ScalarType::Float);
  Tensor dk = empty({need_dk ? m : 0, d}, ScalarType::Float);
  Tensor positive_rank = empty({need_positive_rank ? n : 0}, ScalarType::Long);
  if (n == 0) return {loss, dq, torch::stable::zero_(dk), positive_rank};

  const Tensor queries = as_fp32(query), all_keys = as_fp32(keys);
  const Rule rule = {temperature, offset, n / chunks, data<int64_t>(row_ids), data<int64_t>(key_ids),
                     data<float>(weights), mean ? 1.0 / static_cast<double>(n) : 1.0};
  run(static_cast<const float*>(queries.data_ptr()), n, static_cast<const float*>(all_keys.data_ptr()), m, d, rule,
      loss.mutable_data_ptr<float>(), need_dq ? dq.mutable_data_ptr<float>() : nullptr,
      need_dk ? dk.mutable_data_ptr<float>() : nullptr,
      need_positive_rank ? positive_rank.mutable_data_ptr<int64_t>() : nullptr);
  return {loss, dq, dk, positive_rank};
}

}  // namespace

// Returns losses (N,) and, if asked for, their gradients to the query (N, D), else (0, D), both fp32, and positive
// ranks (N,), else (0,).
std::tuple<Tensor, Tensor, Tensor> in_batch_info_nce(
    Tensor query, Tensor keys, Optional row_ids, Optional key_ids, double temperature, int64_t offset, int64_t chunks,
    bool need_dq, bool need_positive_rank) {
  const auto [loss, dq, dk, positive_rank] = compute(query, keys, row_ids, key_ids, {}, temperature, offset, chunks,
                                                     /*mean=*/false, need_dq, /*need_dk=*/false, need_positive_rank);
  return {loss, dq, positive_rank};
}

// Returns the sum or the mean of the losses, weighted or not, its gradient to the query, if asked for, and to the keys,
// all fp32, and positive ranks (N,), if asked for.
std::tuple<Tensor, Tensor, Tensor, Tensor> in_batch_info_nce_total(
    Tensor query, Tensor keys, Optional row_ids, Optional key_ids, Optional weights, double temperature,
    int64_t offset, int64_t chunks, bool mean, bool need_dq, bool need_positive_rank) {
  const auto [loss, dq, dk, positive_rank] = compute(query, keys, row_ids, key_ids, weights, temperature, offset,
                                                     chunks, mean, need_dq, /*need_dk=*/true, need_positive_rank);
  const float* const losses = static_cast<const float*>(loss.data_ptr());
  const float* const factors = data<float>(weights);
  double total = 0.0;
  for (int64_t i = 0; i < loss.size(0); ++i) total += factors ? double{factors[i]} * losses[i] : losses[i];
  Tensor sum = empty({}, ScalarType::Float);
  *sum.mutable_data_ptr<float>() = static_cast<float>(mean ? total / static_cast<double>(loss.size(0)) : total);
  return {sum, dq, dk, positive_rank};
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("in_batch_info_nce.cpp", TORCH_BOX(&in_batch_info_nce));
  library.impl("in_batch_info_nce_total.cpp", TORCH_BOX(&in_batch_info_nce_total));
}

}  // namespace sslfast
