// The supervised contrastive loss on the CPU; NT-Xent is the case of pairs. With s_ij = z_i.z_j, c = log2(e)/t, P(i)
// the other rows of i's label, top_i = max_{j != i} s_ij, and Z_i = sum_{j != i} 2^(c (s_ij - top_i)):
//
//   loss_i = ln 2 (c (top_i - mean_{p in P(i)} s_ip) + log2 Z_i)
//   dz_i = sum_{j != i} w_ij z_j,   w_ij = (g_i p_ij + g_j p_ji - [j in P(i)] (g_i/|P(i)| + g_j/|P(j)|)) / t
//
// where p_ij = 2^(c (s_ij - top_i) - log2 Z_i) and g_i is the gradient of loss_i. Since s and w are symmetric, only
// pairs i < j are computed: the rows are cut into blocks; a thread takes two blocks, whose products stay in its
// cache, and adds what follows from them to the rows of both. Both passes compute s_ij in the same tiles and so to
// the same bit: where t is small, p_ij would not bear a difference. The cut depends on the shape alone, so the
// result does not depend on the number of threads.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "cpu/common/matmul.h"
#include "cpu/common/pairs.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"
#include "cpu/common/simd.h"

namespace sslfast {
namespace {

// Rows are each other's positives if their numbers here are equal. 32 bits, as wide as a product, compare fastest.
std::vector<int32_t> groups_of(const std::optional<Tensor>& labels, int64_t rows) {
  std::vector<int32_t> groups(rows);
  if (!labels) {  // rows i and i + rows / 2
    for (int64_t i = 0; i < rows; ++i) groups[i] = static_cast<int32_t>(i % (rows / 2));
    return groups;
  }
  const Tensor dense = torch::stable::contiguous(*labels);
  const int64_t* const data = static_cast<const int64_t*>(dense.data_ptr());
  std::vector<int64_t> sorted(data, data + rows);
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < rows; ++i) {
    const auto place = std::lower_bound(sorted.begin(), sorted.end(), data[i]);
    groups[i] = static_cast<int32_t>(place - sorted.begin());
  }
  return groups;
}

// Returns how many rows a block has, but for the last: many multiply faster, and many blocks occupy more threads.
int64_t rows_of_block(int64_t rows) {
  return rows < 2048 ? std::clamp<int64_t>(ceil_div(rows, 8), 64, 128) : std::min<int64_t>(ceil_div(rows, 16), 256);
}

// The cut of the rows into blocks.
struct Blocks {
  Tensor features;  // fp32, contiguous
  int64_t size;

  explicit Blocks(const Tensor& input) : features(as_fp32(input)), size(rows_of_block(input.size(0))) {
    // Products may be rounded otherwise at addresses that are not aligned.
    if (reinterpret_cast<uintptr_t>(features.data_ptr()) % 64) features = torch::stable::clone(features);
  }

  int64_t count() const { return ceil_div(features.size(0), size); }
  int64_t start(int64_t block) const { return block * size; }
  int64_t rows(int64_t block) const { return std::min(size, features.size(0) - start(block)); }

  // Returns a block's rows of a matrix of the features' shape.
  Tensor of(const float* matrix, int64_t block) const {
    const int64_t d = features.size(1);
    return as_matrix(matrix + start(block) * d, rows(block), d);
  }

  Tensor operator[](int64_t block) const { return of(static_cast<const float*>(features.data_ptr()), block); }

  // Returns s of blocks i and j, (rows(i), rows(j)).
  std::unique_ptr<float[]> products(int64_t i, int64_t j) const {
    auto tile = std::make_unique_for_overwrite<float[]>(rows(i) * rows(j));
    const Blocks& self = *this;
    matmul_into(as_matrix(tile.get(), rows(i), rows(j)), self[i], transposed(self[j]));
    return tile;
  }
};

// A row of products and the columns it meets take their sums from each other. `top`, `group`, `sum` and `positives`
// are the columns'; the row's are returned: sum_j 2^(c (s_j - top)) and the sum of s_j over its positives. This is in
// fp64: where rows are long and hardly differ, its rounding is all that differs.
struct Sums {
  float powers;
  double positives;
};
SSLFAST_SIMD Sums exchange(const float* s, int64_t size, float scale, float row_top, int32_t row_group,
                           const float* top, const int32_t* group, float* sum, double* positives) {
  float row_sum = 0.0f;
  double row_positives = 0.0;
#pragma omp simd reduction(+ : row_sum, row_positives)
  for (int64_t j = 0; j < size; ++j) {
    // A mask: at a choice, which the compiler would turn into a branch, it would not vectorize the loop.
    const uint32_t mask = -static_cast<uint32_t>(group[j] == row_group);
    const float positive = std::bit_cast<float>(std::bit_cast<uint32_t>(s[j]) & mask);
    row_sum += exp2_nonpositive((s[j] - row_top) * scale);
    row_positives += positive;
    sum[j] += exp2_nonpositive((s[j] - top[j]) * scale);
    positives[j] += positive;
  }
  return {row_sum, row_positives};
}

// A row of products and the columns it meets count the negatives above their positives' products. `positive`, `group`
// and `above` are the columns'; the row's number is returned.
SSLFAST_SIMD int32_t count_each_other(const float* s, int64_t size, float row_positive, int32_t row_group,
                                      const float* positive, const int32_t* group, int32_t* above) {
  int32_t row_above = 0;
#pragma omp simd reduction(+ : row_above)
  for (int64_t j = 0; j < size; ++j) {
    const int32_t negative = group[j] != row_group;
    row_above += negative & (s[j] > row_positive);
    above[j] += negative & (s[j] > positive[j]);
  }
  return row_above;
}

// The terms of w_ij that are of one row, as arrays over the rows.
struct RowTerms {
  const float *top, *log_sum;
  const float *push, *pull;  // g_i / t, g_i / (t |P(i)|)
  const int32_t* group;

  RowTerms from(int64_t row) const { return {top + row, log_sum + row, push + row, pull + row, group + row}; }
};

// s_j = w_ij, for the first row of `row`.
SSLFAST_SIMD void weigh(float* s, int64_t size, float scale, RowTerms row, RowTerms column) {
  const float top = *row.top, log_sum = *row.log_sum, push = *row.push, pull = *row.pull;
  const int32_t group = *row.group;
#pragma omp simd
  for (int64_t j = 0; j < size; ++j) {
    const float row_share = push * exp2_nonpositive((s[j] - top) * scale - log_sum);
    const float column_share = column.push[j] * exp2_nonpositive((s[j] - column.top[j]) * scale - column.log_sum[j]);
    const float both_pull = column.group[j] == group ? pull + column.pull[j] : 0.0f;
    s[j] = row_share + column_share - both_pull;
  }
}

// Returns s_ip of the pairs of rows i and p = i + M / 2, for both.
std::vector<float> pair_products(const Tensor& features) {
  const int64_t pairs = features.size(0) / 2, d = features.size(1);
  const float* const data = static_cast<const float*>(features.data_ptr());
  std::vector<float> s(2 * pairs);
  for_each_row(pairs, d, [&](int64_t i) { s[i] = s[i + pairs] = dot(data + i * d, data + (i + pairs) * d, d); });
  return s;
}

// Returns losses (M,); top and log2 Z, for the backward pass; and the numbers of positives; all fp32. Labels are
// int64; without labels, rows i and i + M / 2 are a pair. Only then, `positive_rank`, (M,), receives how many s_ij are
// above the pair's s_ip, unless it is null.
std::tuple<Tensor, Tensor, Tensor, Tensor> forward(const Tensor& features, const std::optional<Tensor>& labels,
                                                   double temperature, int64_t* positive_rank) {
  const int64_t m = features.size(0);
  const float scale = static_cast<float>(M_LOG2E / temperature);
  const auto vector = [&] { return empty({m}, ScalarType::Float); };
  Tensor loss = vector(), tops = vector(), log_sums = vector(), counts = vector();
  float* const top = tops.mutable_data_ptr<float>();
  std::fill_n(top, m, std::numeric_limits<float>::lowest());
  std::vector<float> sum(m);  // over the pairs met so far
  std::vector<double> positives(m);
  const std::vector<int32_t> group = groups_of(labels, m);
  const Blocks blocks(features);
  const std::vector<float> pair = positive_rank ? pair_products(blocks.features) : std::vector<float>();
  std::vector<int32_t> above(pair.size());

  for_each_pair(blocks.count(), [&](int64_t i, int64_t j) {
    const int64_t rows = blocks.rows(i), columns = blocks.rows(j), row = blocks.start(i), column = blocks.start(j);
    const auto tile = blocks.products(i, j);
    // Of the pairs of a block with itself, those above the diagonal.
    const auto first = [&](int64_t k) { return i == j ? k + 1 : 0; };

    std::vector<float> before(top + row, top + row + rows);
    if (i != j) before.insert(before.end(), top + column, top + column + columns);
    for (int64_t k = 0; k < rows; ++k) {
      const float* const s = &tile[k * columns];
      const int64_t skip = first(k);
      top[row + k] = std::max(top[row + k], maximum(s + skip, columns - skip));
      raise_to(top + column + skip, columns - skip, s + skip);
    }
    for (int64_t k = 0; k < std::ssize(before); ++k) {
      const int64_t at = k < rows ? row + k : column + k - rows;
      sum[at] *= std::exp2((before[k] - top[at]) * scale);
    }
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t skip = first(k), to = column + skip;
      const Sums sums = exchange(&tile[k * columns + skip], columns - skip, scale, top[row + k], group[row + k],
                                 top + to, &group[to], &sum[to], &positives[to]);
      sum[row + k] += sums.powers;
      positives[row + k] += sums.positives;
      if (!positive_rank) continue;
      above[row + k] += count_each_other(&tile[k * columns + skip], columns - skip, pair[row + k], group[row + k],
                                         &pair[to], &group[to], &above[to]);
    }
  });
  std::copy(above.begin(), above.end(), positive_rank);

  std::vector<float> members(m);
  for (const int32_t g : group) ++members[g];
  for (int64_t i = 0; i < m; ++i) {
    const float count = members[group[i]] - 1.0f, log_sum = std::log2(sum[i]);
    const float distance = static_cast<float>(top[i] - positives[i] / count) * scale;
    counts.mutable_data_ptr<float>()[i] = count;
    log_sums.mutable_data_ptr<float>()[i] = log_sum;
    loss.mutable_data_ptr<float>()[i] = count ? static_cast<float>(M_LN2) * (distance + log_sum) : 0.0f;
  }
  return {loss, tops, log_sums, counts};
}

}  // namespace

// Returns what `forward` does.
std::tuple<Tensor, Tensor, Tensor, Tensor> sup_con(Tensor features, std::optional<Tensor> labels, double temperature) {
  return forward(features, labels, temperature, nullptr);
}

// Returns what `forward` does for pairs, but of the losses their mean, if asked to; and positive ranks (M,) if asked
// for, else (0,).
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> nt_xent(Tensor features, double temperature, bool mean,
                                                           bool need_positive_rank) {
  Tensor positive_rank = empty({need_positive_rank ? features.size(0) : 0}, ScalarType::Long);
  auto results =
      forward(features, {}, temperature, need_positive_rank ? positive_rank.mutable_data_ptr<int64_t>() : nullptr);
  if (mean) std::get<0>(results) = mean_of(std::get<0>(results));
  return std::tuple_cat(results, std::make_tuple(positive_rank));
}

// Returns the gradient to the features, (M, D), in their dtype, from the results of the forward pass and the gradients
// of the losses, (M,), or the one of their mean, ().
Tensor sup_con_backward(Tensor d_loss, Tensor features, std::optional<Tensor> labels, Tensor top, Tensor log_sum,
                        Tensor count, double temperature) {
  const int64_t m = features.size(0), d = features.size(1);
  const float scale = static_cast<float>(M_LOG2E / temperature);
  const Tensor d_losses = as_fp32(d_loss);
  const float* const d_losses_data = static_cast<const float*>(d_losses.data_ptr());
  const bool of_mean = d_loss.dim() == 0;
  std::vector<float> push(m), pull(m);
  for (int64_t i = 0; i < m; ++i) {
    const float positives = static_cast<const float*>(count.data_ptr())[i];
    if (!positives) continue;
    push[i] = static_cast<float>((of_mean ? d_losses_data[0] / m : d_losses_data[i]) / temperature);
    pull[i] = push[i] / positives;
  }
  const std::vector<int32_t> group = groups_of(labels, m);
  const RowTerms terms{static_cast<const float*>(top.data_ptr()), static_cast<const float*>(log_sum.data_ptr()),
                       push.data(), pull.data(), group.data()};
  const Blocks blocks(features);
  Tensor gradient = empty({m, d}, ScalarType::Float);
  float* const dz = gradient.mutable_data_ptr<float>();
  std::fill_n(dz, m * d, 0.0f);

  for_each_pair(blocks.count(), [&](int64_t i, int64_t j) {
    const int64_t rows = blocks.rows(i), columns = blocks.rows(j), row = blocks.start(i), column = blocks.start(j);
    const auto tile = blocks.products(i, j);
    for (int64_t k = 0; k < rows; ++k) {
      float* const s = &tile[k * columns];
      const int64_t skip = i == j ? k + 1 : 0;
      weigh(s + skip, columns - skip, scale, terms.from(row + k), terms.from(column + skip));
      for (int64_t l = 0; l < skip; ++l) s[l] = l == k ? 0.0f : tile[l * columns + k];  // the other half
    }
    const Tensor weights = as_matrix(tile.get(), rows, columns);
    matmul_add(blocks.of(dz, i), weights, blocks[j]);
    if (i != j) matmul_add(blocks.of(dz, j), transposed(weights), blocks[i]);
  });
  const ScalarType type = features.scalar_type();
  return type == ScalarType::Float ? gradient : torch::stable::to(gradient, type);
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("sup_con.cpp", TORCH_BOX(&sup_con));
  library.impl("nt_xent.cpp", TORCH_BOX(&nt_xent));
  library.impl("sup_con_backward.cpp", TORCH_BOX(&sup_con_backward));
}

}  // namespace sslfast
