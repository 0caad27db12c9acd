// Sinkhorn-Knopp. With t_k = max_b S_bk and c = log2(e)/eps, the codes after any number of iterations are a softmax
// over each row,
//
//   Q_bk = 2^x_bk / sum_j 2^x_bj,  x_bk = c (S_bk - t_k) - g_k
//
// which normalises the rows whatever g is. To normalise the columns changes g alone:
//
//   g_k = log2 sum_b 2^(c (S_bk - t_k)) at first,  g_k <- g_k + log2 sum_b Q_bk from then on
//
// So a pass reads the scores once and adds each row's codes to the sums of the columns while the row is in cache; only
// the last one writes. For large matrices that is faster than to rescale Q in memory, though it takes more powers.
// The rows are cut into parts for the threads; the parts' sums are added in order. The cut depends on the shape alone,
// so the result does not depend on the number of threads.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/matmul.h"
#include "cpu/memory.h"
#include "cpu/parallel.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace sslfast {
namespace {

constexpr int64_t kRows = 16;   // of a step, to be in cache: 192 KiB at K = 3000
constexpr int64_t kParts = 64;  // to aim at: work for so many threads
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Whether the row has a largest score: it holds no NaN, no infinity, and not only minus infinities.
SSLFAST_SIMD bool has_codes(const float* x, int64_t size) {
  float top = kLowest;
  int bad = 0;
#pragma omp simd reduction(max : top) reduction(| : bad)
  for (int64_t k = 0; k < size; ++k) {
    top = x[k] > top ? x[k] : top;
    bad |= !(x[k] < kInfinity);
  }
  return !bad && top > kLowest;
}

// sum_k = sum_k 2^(scale (before_k - top_k))
SSLFAST_SIMD void decay(float* sum, const float* before, const float* top, int64_t size, float scale) {
#pragma omp simd
  for (int64_t k = 0; k < size; ++k) sum[k] *= exp2_nonpositive((before[k] - top[k]) * scale);
}

// sum_k = sum_k + 2^(scale (x_k - top_k))
SSLFAST_SIMD void add_powers(float* sum, const float* x, const float* top, int64_t size, float scale) {
#pragma omp simd
  for (int64_t k = 0; k < size; ++k) sum[k] += exp2_nonpositive((x[k] - top[k]) * scale);
}

// y_k = scale (x_k - t_k) - g_k; returns the largest.
SSLFAST_SIMD float shift(float* y, const float* x, const float* t, const float* g, int64_t size, float scale) {
  float top = kLowest;
#pragma omp simd reduction(max : top)
  for (int64_t k = 0; k < size; ++k) {
    y[k] = (x[k] - t[k]) * scale - g[k];
    top = y[k] > top ? y[k] : top;
  }
  return top;
}

class Sinkhorn {
 public:
  Sinkhorn(const Tensor& scores, double epsilon)
      : scores_(detached(scores)),
        samples_(scores.size(0)),
        k_(scores.size(1)),
        part_rows_(ceil_div(ceil_div(samples_, kParts), kRows) * kRows),
        parts_(samples_ ? ceil_div(samples_, part_rows_) : 0),
        scale_(static_cast<float>(M_LOG2E / epsilon)),
        t_(k_, kLowest),
        g_(k_),
        sums_(parts_ * k_) {}

  // Finds t and the first g, of the rows that have codes.
  void start() {
    std::vector<float> tops(parts_ * k_, kLowest);
    for_each_part([&](int64_t part, int64_t begin, int64_t end) {
      float *const top = &tops[part * k_], *const sum = &sums_[part * k_];
      std::vector<float> before(k_);
      for (int64_t row = begin; row < end; row += kRows) {
        const int64_t rows = std::min(kRows, end - row);
        const Tensor block = as_fp32(rows_of_scores(row, rows));
        const auto* const x = static_cast<const float*>(block.data_ptr());
        bool good[kRows];
        std::copy_n(top, k_, before.data());
        for (int64_t i = 0; i < rows; ++i) {
          good[i] = has_codes(x + i * k_, k_);
          if (good[i]) raise_to(top, k_, x + i * k_);
        }
        decay(sum, before.data(), top, k_, scale_);
        for (int64_t i = 0; i < rows; ++i) {
          if (good[i]) add_powers(sum, x + i * k_, top, k_, scale_);
        }
      }
    });
    for (int64_t part = 0; part < parts_; ++part) raise_to(t_.data(), k_, &tops[part * k_]);
    for (int64_t part = 0; part < parts_; ++part) {
      decay(&sums_[part * k_], &tops[part * k_], t_.data(), k_, scale_);
    }
    normalise_columns();
  }

  // An iteration whose codes are needed for their columns only.
  void iterate() {
    for_each_part([&](int64_t part, int64_t begin, int64_t end) {
      std::vector<float> q(k_);
      for_each_row_of(begin, end, [&](int64_t, const float* x) {
        if (const float a = to_powers(x, q.data()); a > 0) add_scaled(&sums_[part * k_], k_, a, q.data());
      });
    });
    normalise_columns();
  }

  // The last iteration, whose codes are the result. Rows without codes become NaN.
  void finish(float* codes) const {
    for_each_part([&](int64_t, int64_t begin, int64_t end) {
      for_each_row_of(begin, end, [&](int64_t row, const float* x) {
        float* const q = codes + row * k_;
        const float a = to_powers(x, q);
        if (a > 0) {
          scale_by(q, k_, a);
        } else {
          std::fill_n(q, k_, std::numeric_limits<float>::quiet_NaN());
        }
      });
    });
  }

 private:
  // Calls body(part, begin, end) for each part, of the rows from begin to end.
  template <class Body>
  void for_each_part(const Body& body) const {
    const int64_t cost = part_rows_ * k_ * kPowerCost;
    for_each_row(parts_, cost, [&](int64_t part) {
      body(part, part * part_rows_, std::min((part + 1) * part_rows_, samples_));
    });
  }

  // Calls body(row, scores) for the rows from begin to end, in fp32.
  template <class Body>
  void for_each_row_of(int64_t begin, int64_t end, const Body& body) const {
    for (int64_t row = begin; row < end; row += kRows) {
      const int64_t rows = std::min(kRows, end - row);
      const Tensor block = as_fp32(rows_of_scores(row, rows));
      const auto* const x = static_cast<const float*>(block.data_ptr());
      for (int64_t i = 0; i < rows; ++i) body(row + i, x + i * k_);
    }
  }

  // q_k = 2^(x_k - max x), for x from a row's scores; returns 1 / sum_k q_k, or 0 if the row has no codes.
  float to_powers(const float* scores, float* q) const {
    const float top = shift(q, scores, t_.data(), g_.data(), k_, scale_);
    const float sum = powers(q, k_, 1.0f, top);
    return sum >= 1 ? 1 / sum : 0.0f;  // the largest gives 1
  }

  Tensor rows_of_scores(int64_t first, int64_t rows) const {
    Tensor scores = scores_;
    return torch::stable::narrow(scores, 0, first, rows);
  }

  // Adds the logarithms of the columns' sums, over all parts, to g; the sums start again from 0.
  void normalise_columns() {
    std::vector<float> sum(k_);
    for (int64_t part = 0; part < parts_; ++part) add_scaled(sum.data(), k_, 1.0f, &sums_[part * k_]);
    std::fill(sums_.begin(), sums_.end(), 0.0f);
    for (int64_t k = 0; k < k_; ++k) {
      if (sum[k] > 0) g_[k] += std::log2(sum[k]);  // nothing is in an empty column, whatever its scale
    }
  }

  const Tensor scores_;
  const int64_t samples_, k_, part_rows_, parts_;
  const float scale_;           // c
  std::vector<float> t_, g_;  // (K)
  std::vector<float> sums_;  // (parts, K): of the columns, in the pass under way
};

}  // namespace

// Codes (B, K), fp32.
Tensor sinkhorn_knopp(Tensor scores, double epsilon, int64_t iterations) {
  Tensor codes = empty_matrix(scores.size(0), scores.size(1));
  Sinkhorn sinkhorn(scores, epsilon);
  sinkhorn.start();
  for (int64_t iteration = 1; iteration < iterations; ++iteration) sinkhorn.iterate();
  sinkhorn.finish(codes.mutable_data_ptr<float>());
  return codes;
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("sinkhorn_knopp.cpp", TORCH_BOX(&sinkhorn_knopp)); }

}  // namespace sslfast
