// The cross-correlation loss on the CPU. With a, b the normalized views, S = a^T b, c = diag(S) / N, and <X, Y> the
// sum of the products of elements:
//
//   loss = sum_i (1 - c_i)^2 + lambd (<S, S> / N^2 - sum_i c_i^2)
//   <S, S> = <a a^T, b b^T>
//   d loss / d a = 2 lambd / N^2 (b S^T = b b^T a) + u b / N   with u_i = 2 (c_i - 1) - 2 lambd c_i
//
// and normalization's gradient is (d - mean d - a mean(d a)) / sigma over the rows of each column. Of S, (D, D), and
// the two (N, N) matrices the smaller is computed: no matrix is larger than the inputs. All is cut into blocks of rows
// or columns by shape alone, so the result does not depend on the number of threads.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

#include "cpu/common/matmul.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"
#include "cpu/common/simd.h"

namespace sslfast {
namespace {

constexpr int64_t kRows = 128;     // of a block of a matrix product
constexpr int64_t kLargeRows = 512, kLargeColumns = 1024;  // of a large one: within 7% of one product's speed
constexpr int64_t kColumns = 128;  // of a block whose rows are gone through
constexpr double kEpsilon = 1e-5;  // added to variances

// A normalized view, with 1 / sigma of its columns.
struct View {
  Tensor values;  // (N, D) fp32
  std::vector<float> rstd;

  const float* data() const { return static_cast<const float*>(values.data_ptr()); }
};

// sum += x
SSLFAST_SIMD void add_to(double* sum, const float* x, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) sum[i] += x[i];
}

// sum += x y
SSLFAST_SIMD void add_product_to(double* sum, const float* x, const float* y, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) sum[i] += static_cast<double>(x[i]) * y[i];
}

// out = scale (x - shift)
SSLFAST_SIMD void shift_and_scale(float* out, const float* x, const float* shift, const float* scale, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) out[i] = scale[i] * (x[i] - shift[i]);
}

// x = scale x + u y
SSLFAST_SIMD void combine(float* x, float scale, const float* u, const float* y, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) x[i] = scale * x[i] + u[i] * y[i];
}

// x = rstd (x - mean - along y)
SSLFAST_SIMD void project(float* x, const float* rstd, const float* mean, const float* along, const float* y,
                          int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) x[i] = rstd[i] * (x[i] - mean[i] - along[i] * y[i]);
}

// Calls block(first, size) for blocks of columns, each on one thread.
template <class Block>
void for_each_columns(int64_t d, const Block& block) {
  for_each_task(ceil_div(d, kColumns), [&](int64_t task) {
    block(task * kColumns, std::min(kColumns, d - task * kColumns));
  });
}

// Standardizes the columns of a view.
View normalize(const Tensor& z) {
  const Tensor wide = as_fp32(z);
  const int64_t n = z.size(0), d = z.size(1);
  View view = {torch::stable::empty({n, d}, ScalarType::Float), std::vector<float>(d)};
  const float* const in = static_cast<const float*>(wide.data_ptr());
  float* const out = view.values.mutable_data_ptr<float>();
  for_each_columns(d, [&](int64_t first, int64_t size) {
    double sums[kColumns] = {}, squares[kColumns] = {};
    float mean[kColumns], one[kColumns];
    std::fill_n(one, size, 1.0f);
    for (int64_t i = 0; i < n; ++i) add_to(sums, in + i * d + first, size);
    for (int64_t j = 0; j < size; ++j) mean[j] = static_cast<float>(sums[j] / n);
    for (int64_t i = 0; i < n; ++i) {
      float* const row = out + i * d + first;
      shift_and_scale(row, in + i * d + first, mean, one, size);
      add_product_to(squares, row, row, size);
    }
    float* const rstd = &view.rstd[first];
    for (int64_t j = 0; j < size; ++j) rstd[j] = static_cast<float>(1 / std::sqrt(squares[j] / n + kEpsilon));
    const float zero[kColumns] = {};
    for (int64_t i = 0; i < n; ++i) {
      float* const row = out + i * d + first;
      shift_and_scale(row, row, zero, rstd, size);
    }
  });
  return view;
}

// Returns diag(a^T b) / N.
std::vector<float> diagonal(const View& a, const View& b) {
  const int64_t n = a.values.size(0), d = a.values.size(1);
  std::vector<float> c(d);
  for_each_columns(d, [&](int64_t first, int64_t size) {
    double sums[kColumns] = {};
    for (int64_t i = 0; i < n; ++i) add_product_to(sums, a.data() + i * d + first, b.data() + i * d + first, size);
    for (int64_t j = 0; j < size; ++j) c[first + j] = static_cast<float>(sums[j] / n);
  });
  return c;
}

// Returns rows [start, start + size) of a matrix, or columns, by the dimension.
Tensor part(const Tensor& matrix, int64_t dim, int64_t start, int64_t size) {
  Tensor whole = matrix;
  return torch::stable::narrow(whole, dim, start, size);
}

// Returns x y, by blocks: large ones, which pack less for each product, where there are enough of them.
Tensor product(const Tensor& x, const Tensor& y) {
  const int64_t rows = x.size(0), columns = y.size(1);
  const bool large = rows >= 2 * kLargeRows;
  const int64_t height = large ? kLargeRows : kRows, width = large ? kLargeColumns : columns;
  const int64_t across = ceil_div(columns, width);
  const Tensor out = torch::stable::empty({rows, columns}, ScalarType::Float);
  for_each_task(ceil_div(rows, height) * across, [&](int64_t task) {
    const int64_t top = task / across * height, left = task % across * width;
    const int64_t high = std::min(height, rows - top), wide = std::min(width, columns - left);
    matmul_into(part(part(out, 0, top, high), 1, left, wide), part(x, 0, top, high), part(y, 1, left, wide));
  });
  return out;
}

// Returns x x^T: the blocks on and right of the diagonal, then their mirror images.
Tensor gram(const Tensor& x) {
  const int64_t n = x.size(0), blocks = ceil_div(n, kRows);
  const Tensor out = torch::stable::empty({n, n}, ScalarType::Float);
  for_each_task(blocks, [&](int64_t task) {
    // Long and short rows of blocks in turn, so that threads with consecutive tasks have equal work.
    const int64_t block = task % 2 ? blocks - 1 - task / 2 : task / 2;
    const int64_t start = block * kRows, size = std::min(kRows, n - start);
    matmul_into(part(part(out, 0, start, size), 1, start, n - start), part(x, 0, start, size),
                transposed(part(x, 0, start, n - start)));
  });
  float* const data = static_cast<float*>(out.data_ptr());
  for_each_row(n, n, [&](int64_t i) {
    for (int64_t j = 0; j < i / kRows * kRows; ++j) data[i * n + j] = data[j * n + i];
  });
  return out;
}

// Returns <x, y>.
double inner_product(const Tensor& x, const Tensor& y) {
  const int64_t rows = x.size(0), columns = x.size(1);
  const float* const x_data = static_cast<const float*>(x.data_ptr());
  const float* const y_data = static_cast<const float*>(y.data_ptr());
  std::vector<double> sums(rows);
  for_each_row(rows, columns, [&](int64_t i) { sums[i] = dot(x_data + i * columns, y_data + i * columns, columns); });
  double sum = 0;
  for (const double row : sums) sum += row;
  return sum;
}

// Turns `dz`, the matrix product in d loss / d a up to the factor `scale`, into the gradient to the view that a was
// normalized from.
void finish_gradient(const Tensor& dz, float scale, const View& view, const View& other, const std::vector<float>& c,
                     double lambd) {
  const int64_t n = dz.size(0), d = dz.size(1);
  float* const data = static_cast<float*>(dz.data_ptr());
  for_each_columns(d, [&](int64_t first, int64_t size) {
    float u[kColumns], mean[kColumns], along[kColumns];
    double sums[kColumns] = {}, dots[kColumns] = {};
    for (int64_t j = 0; j < size; ++j) {
      u[j] = static_cast<float>(2 * (c[first + j] - 1 - lambd * c[first + j]) / n);
    }
    for (int64_t i = 0; i < n; ++i) {
      float* const row = data + i * d + first;
      combine(row, scale, u, other.data() + i * d + first, size);
      add_to(sums, row, size);
      add_product_to(dots, row, view.data() + i * d + first, size);
    }
    for (int64_t j = 0; j < size; ++j) {
      mean[j] = static_cast<float>(sums[j] / n);
      along[j] = static_cast<float>(dots[j] / n);
    }
    for (int64_t i = 0; i < n; ++i) {
      project(data + i * d + first, &view.rstd[first], mean, along, view.data() + i * d + first, size);
    }
  });
}

}  // namespace

// Returns the loss and, if asked for, its gradients to the views (N, D), else (0, D); all fp32.
std::tuple<Tensor, Tensor, Tensor> cross_correlation_loss(
    Tensor z1, Tensor z2, double lambd, bool need_dz1, bool need_dz2) {
  const int64_t n = z1.size(0), d = z1.size(1);
  const bool by_rows = n < d;
  const View a = normalize(z1), b = normalize(z2);
  const std::vector<float> c = diagonal(a, b);
  const Tensor x = by_rows ? gram(a.values) : product(transposed(a.values), b.values);
  const Tensor y = by_rows ? gram(b.values) : x;

  double on_diagonal = 0, squares = 0;
  for (const double value : c) {
    on_diagonal += (1 - value) * (1 - value);
    squares += value * value;
  }
  const double total = inner_product(x, y) / n / n;
  Tensor loss = torch::stable::empty({}, ScalarType::Float);
  *loss.mutable_data_ptr<float>() = static_cast<float>(on_diagonal + lambd * (total - squares));

  const float scale = static_cast<float>(2 * lambd / n / n);
  Tensor dz1 = torch::stable::empty({0, d}, ScalarType::Float), dz2 = torch::stable::empty({0, d}, ScalarType::Float);
  if (need_dz1) {
    dz1 = by_rows ? product(y, a.values) : product(b.values, transposed(x));
    finish_gradient(dz1, scale, a, b, c, lambd);
  }
  if (need_dz2) {
    dz2 = by_rows ? product(x, b.values) : product(a.values, x);
    finish_gradient(dz2, scale, b, a, c, lambd);
  }
  return {loss, dz1, dz2};
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("cross_correlation_loss.cpp", TORCH_BOX(&cross_correlation_loss));
}

}  // namespace sslfast
