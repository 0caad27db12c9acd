// Sinkhorn-Knopp on the CPU. With t_k = max_b S_bk, c = log2(e)/eps and s_k = sum_b 2^(c (S_bk - t_k)), the first
// iteration gives
//
//   Q_bk = E_bk / sum_j E_bj,  E_bk = 2^(x_bk - max_j x_bj),  x_bk = c (S_bk - t_k) - log2 s_k
//
// and each further one divides Q by the sums of its columns, and then by those of its rows. All that comes of it is
// Q_bk = a_b u_k E_bk: the next u_k is 1 / sum_b a_b E_bk, then the next a_b is 1 / sum_k u_k E_bk. The first iteration
// works with logarithms and the maxima of columns and rows, so that no row or column vanishes however far scores lie
// apart. After it a row of Q sums to 1 and a column to at least 1 / (B K), and a and u can be taken as they are.
//
// Beside one pass over the scores for t and s, an iteration is one pass: of a row in cache it takes a_b, and adds it to
// the sums of the columns for the next iteration. E is written by the first and read by the others, the last of which
// puts Q in its place. So does every fourth, and Q is the next one's E: where some rows share no columns with others,
// each iteration changes a and u by up to a factor of B. The rows are cut into parts for the threads; the parts' sums
// are added in order. The cut depends on the shape alone, so the result does not depend on the number of threads.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/common/matmul.h"
#include "cpu/common/memory.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"
#include "cpu/common/simd.h"

namespace sslfast {
namespace {

constexpr int64_t kRows = 16;   // of a step, to be in cache: 192 KiB at K = 3000
constexpr int64_t kParts = 64;  // to aim at: work for so many threads
constexpr int64_t kWrite = 4;   // iterations after which E becomes Q at the latest
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

// Returns max_k scale (x_k - t_k) - log_s_k.
SSLFAST_SIMD float largest(const float* x, const float* t, const float* log_s, int64_t size, float scale) {
  float top = kLowest;
#pragma omp simd reduction(max : top)
  for (int64_t k = 0; k < size; ++k) {
    const float y = (x[k] - t[k]) * scale - log_s[k];
    top = y > top ? y : top;
  }
  return top;
}

// e_k = 2^(scale (x_k - t_k) - log_s_k - top); returns the sum.
SSLFAST_SIMD float relative_powers(float* e, const float* x, const float* t, const float* log_s, int64_t size,
                                   float scale, float top) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < size; ++k) {
    e[k] = exp2_nonpositive((x[k] - t[k]) * scale - log_s[k] - top);
    sum += e[k];
  }
  return sum;
}

// e_k = a u_k e_k
SSLFAST_SIMD void scale_by_both(float* e, float a, const float* u, int64_t size) {
#pragma omp simd
  for (int64_t k = 0; k < size; ++k) e[k] = e[k] * u[k] * a;  // in this order: a u_k alone may overflow
}

// The columns' maxima and logarithms of sums; log_s is 0 for an empty column.
struct Totals {
  std::vector<float> t;
  std::vector<float> log_s;
};

class Sinkhorn {
 public:
  Sinkhorn(const Tensor& scores, double epsilon)
      : scores_(detached(scores)),
        samples_(scores.size(0)),
        k_(scores.size(1)),
        part_rows_(ceil_div(ceil_div(samples_, kParts), kRows) * kRows),
        parts_(samples_ ? ceil_div(samples_, part_rows_) : 0),
        scale_(static_cast<float>(M_LOG2E / epsilon)),
        sums_(parts_ * k_) {}

  // Returns t and log2 s over the rows that have codes.
  Totals totals() {
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
    std::vector<float> top(k_, kLowest);
    for (int64_t part = 0; part < parts_; ++part) raise_to(top.data(), k_, &tops[part * k_]);
    for (int64_t part = 0; part < parts_; ++part) {
      decay(&sums_[part * k_], &tops[part * k_], top.data(), k_, scale_);
    }
    std::vector<float> sum = take_sums();
    for (float& x : sum) x = x > 0 ? std::log2(x) : 0.0f;  // nothing is in an empty column, whatever its scale
    return {top, sum};
  }

  // Makes the first iteration: writes E, or Q if it is the last. Rows without codes become NaN.
  void start(float* e, const Totals& totals, bool last) {
    const float *const t = totals.t.data(), *const log_s = totals.log_s.data();
    for_each_part([&](int64_t part, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row += kRows) {
        const int64_t rows = std::min(kRows, end - row);
        const Tensor block = as_fp32(rows_of_scores(row, rows));
        const auto* const x = static_cast<const float*>(block.data_ptr());
        for (int64_t i = 0; i < rows; ++i) {
          float* const y = e + (row + i) * k_;
          const float top = largest(x + i * k_, t, log_s, k_, scale_);
          const float z = relative_powers(y, x + i * k_, t, log_s, k_, scale_, top);
          if (!(z > 0)) {
            std::fill_n(y, k_, std::numeric_limits<float>::quiet_NaN());
          } else if (last) {
            scale_by(y, k_, 1 / z);
          } else {
            add_scaled(&sums_[part * k_], k_, 1 / z, y);
          }
        }
      }
    });
  }

  // Makes a further iteration: reads E, and puts Q in its place if asked to, or if it is the last.
  void iterate(float* e, bool write, bool last) {
    std::vector<float> u = take_sums();
    for (float& x : u) x = x > 0 ? 1 / x : 1.0f;  // an empty column stays 0
    for_each_part([&](int64_t part, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        float* const y = e + row * k_;
        const float z = dot(y, u.data(), k_);
        if (!(z > 0)) continue;  // NaN
        if (write || last) scale_by_both(y, 1 / z, u.data(), k_);
        if (!last) add_scaled(&sums_[part * k_], k_, write ? 1 : 1 / z, y);
      }
    });
  }

 private:
  // Calls body(part, begin, end) for each part, the rows from begin to end.
  template <class Body>
  void for_each_part(const Body& body) const {
    const int64_t cost = part_rows_ * k_ * kPowerCost;
    for_each_row(parts_, cost, [&](int64_t part) {
      body(part, part * part_rows_, std::min((part + 1) * part_rows_, samples_));
    });
  }

  Tensor rows_of_scores(int64_t first, int64_t rows) const {
    Tensor scores = scores_;
    return torch::stable::narrow(scores, 0, first, rows);
  }

  // Returns the sums of the columns over all parts, which start again from 0.
  std::vector<float> take_sums() {
    std::vector<float> sum(k_);
    for (int64_t part = 0; part < parts_; ++part) add_scaled(sum.data(), k_, 1.0f, &sums_[part * k_]);
    std::fill(sums_.begin(), sums_.end(), 0.0f);
    return sum;
  }

  const Tensor scores_;
  const int64_t samples_, k_, part_rows_, parts_;
  const float scale_;        // c
  std::vector<float> sums_;  // (parts, K): of the columns, in the pass under way
};

}  // namespace

// Returns codes (B, K), fp32.
Tensor sinkhorn_knopp(Tensor scores, double epsilon, int64_t iterations) {
  Tensor codes = empty_matrix(scores.size(0), scores.size(1));
  float* const e = codes.mutable_data_ptr<float>();
  Sinkhorn sinkhorn(scores, epsilon);
  sinkhorn.start(e, sinkhorn.totals(), iterations == 1);
  for (int64_t iteration = 2; iteration <= iterations; ++iteration) {
    sinkhorn.iterate(e, iteration % kWrite == 0, iteration == iterations);
  }
  return codes;
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("sinkhorn_knopp.cpp", TORCH_BOX(&sinkhorn_knopp)); }

}  // namespace sslfast
