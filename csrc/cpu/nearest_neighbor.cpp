// Nearest-neighbor lookup on the CPU: it finds the k rows n_j of a queue that are most similar to each query, by
// cos(q_i, n_j) = q_i.n_j / (|q_i| |n_j|).
//
// Queries and queue are cut into blocks. A thread takes a block of queries through a part of the queue in steps that
// stay in its cache: a matrix product gives q_i.n_j, and each query keeps the k largest q_i.n_j / |n_j|. The parts'
// lists are then joined in order. The cut depends on the shape alone, so the result does not depend on the number of
// threads. All of a query's products come from matrix products of one shape: where the queue's length is no multiple
// of a step, the last step starts early; a queue of less than a step is padded to whole vectors, for a matrix product
// may round its last columns otherwise. So equal rows round equally, and the first of them wins.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "cpu/common/matmul.h"
#include "cpu/common/parallel.h"
#include "cpu/common/rows.h"

namespace sslfast {
namespace {

constexpr int64_t kQueryRows = 256;  // of a block
constexpr int64_t kQueueRows = 512;  // of a step; its products with a block take 512 KiB
constexpr int64_t kVector = 16;      // columns of a matrix product that round alike
constexpr int64_t kSegment = 128;    // products that are searched if their maximum is among the best
constexpr int64_t kTasks = 64;       // blocks times parts to aim at: work for so many threads
constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// A row of the queue that a query is compared with.
struct Match {
  float similarity = kNone;  // times |q_i|, which does not change the order
  int64_t index = -1;
};

// Puts a match that is better than the last of k into its place, behind its equals.
void insert(Match* matches, int64_t k, Match match) {
  int64_t i = k - 1;
  for (; i > 0 && match.similarity > matches[i - 1].similarity; --i) matches[i] = matches[i - 1];
  matches[i] = match;
}

// Puts those of `size` products, the largest of which is `top`, that are better than the last of k matches into their
// places. The one best match can only be the largest, and is found without a look at each.
void insert_better(Match* matches, int64_t k, const float* x, int64_t size, float top, int64_t first_index) {
  std::array<uint8_t, kSegment> marks{};
  mark_from(marks.data(), x, size, k == 1 ? top : matches[k - 1].similarity);
  for (int64_t word = 0; word < size; word += sizeof(uint64_t)) {
    uint64_t marks_of_word;
    std::memcpy(&marks_of_word, &marks[word], sizeof marks_of_word);
    if (!marks_of_word) continue;
    for (int64_t j = word; j < std::min<int64_t>(word + sizeof marks_of_word, size); ++j) {
      if (x[j] > matches[k - 1].similarity) insert(matches, k, {x[j], first_index + j});
    }
  }
}

// Returns 1 / |x|; 0 for a row of zeros, NaN for one that contains NaN or infinity.
float inverse_length(const float* x, int64_t d) {
  const float square = dot(x, x, d);
  if (square == 0.0f) return 0.0f;
  return std::isfinite(square) ? 1.0f / std::sqrt(square) : kNaN;
}

// Takes a block of queries, (rows, D), through rows `begin` to `end` of the queue, which may have more rows, as
// padding, and whose lengths count as 1 if it is `normalized`. `matches` is (rows, k).
void search(const float* queries, int64_t rows, Tensor queue, int64_t begin, int64_t end, Match* matches, int64_t k,
            bool normalized) {
  const int64_t d = queue.size(1), columns = std::min(kQueueRows, queue.size(0));
  const auto products = std::make_unique_for_overwrite<float[]>(rows * columns);
  const Tensor query_block = as_matrix(queries, rows, d), block = as_matrix(products.get(), rows, columns);
  std::array<float, kQueueRows> inverse_lengths;
  for (int64_t start = begin; start < end; start += kQueueRows) {
    const int64_t first = std::min(start, queue.size(0) - columns), used = std::min(columns, end - first);
    const Tensor keys = as_fp32(rows_of(queue, first, columns));
    const float* const key_data = static_cast<const float*>(keys.data_ptr());
    for (int64_t j = 0; j < columns; ++j) {
      inverse_lengths[j] = normalized ? 1.0f : inverse_length(key_data + j * d, d);
    }
    matmul_into(block, query_block, transposed(keys));
    for (int64_t i = 0; i < rows; ++i) {
      Match* const best = matches + i * k;
      for (int64_t from = start - first; from < used; from += kSegment) {
        const int64_t size = std::min(kSegment, used - from);
        float* const x = &products[i * columns + from];
        const float top = multiply(x, &inverse_lengths[from], size);
        if (top > best[k - 1].similarity) insert_better(best, k, x, size, top, first + from);
      }
    }
  }
}

// Joins the parts' lists for one query. `matches` is the first part's; the next lie `stride` matches further on.
void merge(const float* query, int64_t d, int64_t k, int64_t parts, int64_t stride, Match* matches, int64_t* indices,
           float* similarity) {
  for (int64_t p = 1; p < parts; ++p) {
    for (int64_t r = 0; r < k && matches[p * stride + r].similarity > matches[k - 1].similarity; ++r) {
      insert(matches, k, matches[p * stride + r]);
    }
  }
  const float scale = inverse_length(query, d);
  int64_t spare = 0;  // the lowest index that is no match, for places that only rows with NaN are left for
  for (int64_t r = 0; r < k; ++r) {
    const bool has_match = matches[r].index >= 0 && !std::isnan(scale);
    if (!has_match) {
      const auto taken = [&](int64_t index) {
        return std::any_of(indices, indices + r, [&](int64_t other) { return other == index; });
      };
      while (taken(spare)) ++spare;
    }
    indices[r] = has_match ? matches[r].index : spare;
    similarity[r] = has_match ? matches[r].similarity * scale : kNaN;
  }
}

}  // namespace

// Returns indices in the queue and similarities, both (N, k), by falling similarity.
std::tuple<Tensor, Tensor> nearest_neighbor(Tensor query, Tensor queue, int64_t k, bool normalized) {
  const int64_t n = query.size(0), d = query.size(1), queue_rows = queue.size(0);
  Tensor indices = empty({n, k}, ScalarType::Long);
  Tensor similarity = empty({n, k}, ScalarType::Float);
  if (n == 0) return {indices, similarity};

  const int64_t blocks = ceil_div(n, kQueryRows);
  const int64_t part_rows = ceil_div(ceil_div(queue_rows, ceil_div(kTasks, blocks)), kQueueRows) * kQueueRows;
  const int64_t parts = ceil_div(queue_rows, part_rows);
  const Tensor queries = as_fp32(query);
  const int64_t padding = queue_rows < kQueueRows ? ceil_div(queue_rows, kVector) * kVector - queue_rows : 0;
  const Tensor keys = padding ? torch::stable::pad(detached(queue), {0, 0, 0, padding}) : detached(queue);
  const float* const query_data = static_cast<const float*>(queries.data_ptr());
  std::vector<Match> matches(parts * n * k);

  for_each_task(blocks * parts, [&](int64_t task) {
    const int64_t row = task % blocks * kQueryRows, part = task / blocks, begin = part * part_rows;
    search(query_data + row * d, std::min(kQueryRows, n - row), keys, begin, std::min(begin + part_rows, queue_rows),
           &matches[(part * n + row) * k], k, normalized);
  });

  int64_t* const index_data = indices.mutable_data_ptr<int64_t>();
  float* const similarity_data = similarity.mutable_data_ptr<float>();
  for_each_row(n, parts * k + d, [&](int64_t i) {
    merge(query_data + i * d, d, k, parts, n * k, &matches[i * k], index_data + i * k, similarity_data + i * k);
  });
  return {indices, similarity};
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("nearest_neighbor.cpp", TORCH_BOX(&nearest_neighbor));
}

}  // namespace sslfast
