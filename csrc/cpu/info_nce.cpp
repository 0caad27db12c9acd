// InfoNCE with a queue on the CPU. With s_ij = q_i.n_j, s_i = q_i.k_i, c = log2(e)/t and Z_i = 2^(c s_i) + sum_j 2^(c
// s_ij):
//
//   loss_i = ln 2 (log2 Z_i - c s_i)
//   dq_i = (sum_j 2^(c s_ij) n_j - (sum_j 2^(c s_ij)) k_i) / (Z_i t)
//   positive_rank_i = |{j : s_ij > s_i}|
//
// Queries and queue are cut into blocks. A thread takes a block of queries through a part of the queue in steps
// that stay in its cache: a matrix product gives s_ij, a running maximum keeps the powers in range, a second
// product adds to sum_j 2^(c s_ij) n_j. The parts are then added in order, and the positive put in. The cut depends
// on the shape alone, so the result does not depend on the number of threads. Maxima are subtracted before the
// scale c is applied: a rounded c s_ij could exceed the next one by far more than 1 where t is small.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "cpu/common/matmul.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"

namespace sslfast {
namespace {

constexpr int64_t kQueryRows = 128;  // of a block
constexpr int64_t kQueueRows = 512;  // of a step; its products with a block take 256 KiB
constexpr int64_t kTasks = 64;       // blocks times parts to aim at: work for so many threads

// The sums of a query over a part of the queue, beside sum_j 2^(c (s_ij - top)) n_j.
struct Gathered {
  float top = std::numeric_limits<float>::lowest();  // max_j s_ij
  float sum = 0.0f;                                  // sum_j 2^(c (s_ij - top))
  int64_t above = 0;                                 // the s_ij > s_i, where they are asked for
};

// Takes a block of queries, (rows, D), through a part of the queue, (part_rows, D). `weighted`, (rows, D),
// receives sum_j 2^(c (s_ij - top)) n_j; it may be null. `positives` are the s_i to count above; null: no counts.
void gather(const float* queries, int64_t rows, Tensor part, float scale, const float* positives, Gathered* gathered,
            float* weighted) {
  const int64_t part_rows = part.size(0), d = part.size(1);
  const Tensor query_block = as_matrix(queries, rows, d);
  const auto products = std::make_unique_for_overwrite<float[]>(rows * std::min(kQueueRows, part_rows));
  std::fill_n(gathered, rows, Gathered());
  if (weighted) std::fill_n(weighted, rows * d, 0.0f);

  for (int64_t start = 0; start < part_rows; start += kQueueRows) {
    const int64_t columns = std::min(kQueueRows, part_rows - start);
    const Tensor keys = as_fp32(rows_of(part, start, columns));
    const Tensor block = as_matrix(products.get(), rows, columns);
    matmul_into(block, query_block, transposed(keys));
    for (int64_t i = 0; i < rows; ++i) {
      float* const row = &products[i * columns];
      const int64_t above = gathered[i].above + (positives ? count_above(row, columns, positives[i]) : 0);
      const float top = std::max(gathered[i].top, maximum(row, columns));
      const float decay = std::exp2((gathered[i].top - top) * scale);
      if (weighted && decay != 1.0f) scale_by(weighted + i * d, d, decay);
      gathered[i] = {top, gathered[i].sum * decay + powers(row, columns, scale, top), above};
    }
    if (weighted) matmul_add(as_matrix(weighted, rows, d), block, keys);
  }
}

// Brings the parts and the positive, of product s, together for one query. `gathered` and `weighted` are the first
// part's; the next lie `stride` queries further on. Returns the loss; writes the gradient to `dq` unless it is null.
float merge(float s, const float* positive, int64_t d, double temperature, int64_t parts, int64_t stride,
            const Gathered* gathered, const float* weighted, float* dq) {
  const float scale = static_cast<float>(M_LOG2E / temperature);
  float top = s;
  for (int64_t p = 0; p < parts; ++p) top = std::max(top, gathered[p * stride].top);
  float negatives = 0.0f;  // sum_j 2^(c (s_ij - top))
  if (dq) std::fill_n(dq, d, 0.0f);
  for (int64_t p = 0; p < parts; ++p) {
    const float weight = std::exp2((gathered[p * stride].top - top) * scale);
    negatives += weight * gathered[p * stride].sum;
    if (dq) add_scaled(dq, d, weight, weighted + p * stride * d);
  }
  const float z = negatives + std::exp2((s - top) * scale);
  if (dq) {
    add_scaled(dq, d, -negatives, positive);
    scale_by(dq, d, static_cast<float>(1.0 / (z * temperature)));
  }
  return static_cast<float>(M_LN2) * ((top - s) * scale + std::log2(z));
}

}  // namespace

// Returns losses (N,) and, if asked for, their gradients to the query (N, D), else (0, D), both fp32, and positive
// ranks (N,), else (0,).
std::tuple<Tensor, Tensor, Tensor> info_nce(Tensor query, Tensor positive, Tensor queue, double temperature,
                                            bool need_dq, bool need_positive_rank) {
  const int64_t n = query.size(0), d = query.size(1), k = queue.size(0);
  Tensor loss = empty({n}, ScalarType::Float);
  Tensor dq = empty({need_dq ? n : 0, d}, ScalarType::Float);
  Tensor positive_rank = empty({need_positive_rank ? n : 0}, ScalarType::Long);
  if (n == 0) return {loss, dq, positive_rank};

  const int64_t blocks = ceil_div(n, kQueryRows);
  const int64_t part_rows = ceil_div(ceil_div(k, ceil_div(kTasks, blocks)), kQueueRows) * kQueueRows;
  const int64_t parts = k ? ceil_div(k, part_rows) : 0;
  const Tensor queries = as_fp32(query), positives = as_fp32(positive);
  const float* const query_data = static_cast<const float*>(queries.data_ptr());
  const float* const positive_data = static_cast<const float*>(positives.data_ptr());
  std::vector<float> s(n);  // of the positives
  for_each_row(n, d, [&](int64_t i) { s[i] = dot(query_data + i * d, positive_data + i * d, d); });
  std::vector<Gathered> gathered(parts * n);
  const auto weighted = std::make_unique_for_overwrite<float[]>(need_dq ? parts * n * d : 0);

  for_each_task(blocks * parts, [&](int64_t task) {
    const int64_t row = task % blocks * kQueryRows, part = task / blocks, start = part * part_rows;
    gather(query_data + row * d, std::min(kQueryRows, n - row),
           rows_of(queue, start, std::min(part_rows, k - start)),
           static_cast<float>(M_LOG2E / temperature), need_positive_rank ? &s[row] : nullptr,
           &gathered[part * n + row], need_dq ? &weighted[(part * n + row) * d] : nullptr);
  });

  float* const loss_data = loss.mutable_data_ptr<float>();
  float* const dq_data = need_dq ? dq.mutable_data_ptr<float>() : nullptr;
  int64_t* const positive_rank_data = positive_rank.mutable_data_ptr<int64_t>();
  for_each_row(n, (parts + 1) * (d + 1), [&](int64_t i) {
    loss_data[i] = merge(s[i], positive_data + i * d, d, temperature, parts, n, gathered.data() + i,
                         need_dq ? weighted.get() + i * d : nullptr, need_dq ? dq_data + i * d : nullptr);
    if (!need_positive_rank) return;
    positive_rank_data[i] = 0;
    for (int64_t p = 0; p < parts; ++p) positive_rank_data[i] += gathered[p * n + i].above;
  });
  return {loss, dq, positive_rank};
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("info_nce.cpp", TORCH_BOX(&info_nce)); }

}  // namespace sslfast
