// Aligned pooling on the CPU. An image's features are f_ep, channel e at position p, its maps m_cp. Over the channels
// e of group g, and with c = c(g, k) for its map number k:
//
//   n_cp = m_cp r_p,  r_p = 1 / max(|m_.p|, 1e-12)
//   w_cp = exp(n_cp - 1) s_c,  s_c = 1 / sum_p exp(n_cp - 1)
//   pooled_ke = sum_p w_cp f_ep
//
// and backward, from gradients d.:
//
//   df_ep = sum_k w_cp dpooled_ke,  dw_cp = sum_e dpooled_ke f_ep
//   dn_cp = w_cp (dw_cp - sum_p w_cp dw_cp)
//   dm_cp = r_p (dn_cp - n_cp sum_c n_cp dn_cp), the last sum left out where |m_.p| < 1e-12
//
// A thread takes an image: its weights, (d, P), stay in the thread's cache, and one matrix product a group does the
// rest. r and s are saved for the backward pass, which makes the weights anew. Features are read, and their gradients
// written, in the layout they have.

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

constexpr float kEpsilon = 1e-12f;  // of torch.nn.functional.normalize
constexpr float kLog2E = 1.44269504f;

// Writes r_p of maps (d, P).
SSLFAST_SIMD void compute_inverse_norms(const float* maps, int64_t d, int64_t positions, float* inverse_norms) {
  std::fill_n(inverse_norms, positions, 0.0f);
  for (int64_t c = 0; c < d; ++c) {
    const float* const row = maps + c * positions;
#pragma omp simd
    for (int64_t p = 0; p < positions; ++p) inverse_norms[p] += row[p] * row[p];
  }
  for (int64_t p = 0; p < positions; ++p) {
    const float norm = std::sqrt(inverse_norms[p]);
    inverse_norms[p] = 1.0f / (norm < kEpsilon ? kEpsilon : norm);  // NaN stays NaN
  }
}

// x_cp = m_cp r_p, for maps and x of shape (d, P)
SSLFAST_SIMD void normalize(const float* maps, const float* inverse_norms, int64_t d, int64_t positions, float* x) {
  for (int64_t c = 0; c < d; ++c) {
#pragma omp simd
    for (int64_t p = 0; p < positions; ++p) x[c * positions + p] = maps[c * positions + p] * inverse_norms[p];
  }
}

// Turns dw into dn, in place, for one map; adds n_cp dn_cp to `projection`.
SSLFAST_SIMD void softmax_backward(float* dw, const float* w, const float* n, int64_t positions, float* projection) {
  const float mean = dot(w, dw, positions);
#pragma omp simd
  for (int64_t p = 0; p < positions; ++p) {
    dw[p] = w[p] * (dw[p] - mean);
    projection[p] += n[p] * dw[p];
  }
}

// Turns dn into dm, in place, for one map.
SSLFAST_SIMD void norm_backward(float* dn, const float* n, const float* inverse_norms, const float* projection,
                                int64_t positions) {
#pragma omp simd
  for (int64_t p = 0; p < positions; ++p) dn[p] = inverse_norms[p] * (dn[p] - n[p] * projection[p]);
}

// A part of a matrix in memory.
struct Block {
  Block transposed() const { return {data, columns, rows, column_stride, row_stride}; }
  operator Tensor() const { return as_matrix(data, rows, columns, row_stride, column_stride); }

  const float* data;
  int64_t rows, columns, row_stride, column_stride;
};

// The sizes of the op's tensors, and where a group's parts of them lie.
struct Shape {
  Shape(const Tensor& features, const Tensor& maps, int64_t groups, bool interleaved)
      : images(features.size(0)),
        channels(features.size(1)),
        positions(features.size(2)),
        maps(maps.size(1)),
        groups(groups),
        group_channels(channels / groups),
        vectors(this->maps / groups),
        interleaved(interleaved) {}

  // Returns those rows of `data`, (d, P), that are of a group's maps.
  Block group_maps(const float* data, int64_t group) const {
    const int64_t first = interleaved ? group : group * vectors, step = interleaved ? groups : 1;
    return {data + first * positions, vectors, positions, step * positions, 1};
  }

  // Returns those columns of `data`, (d / groups, D), that are of a group's channels.
  Block group_vectors(const float* data, int64_t group) const {
    return {data + group * group_channels, vectors, group_channels, channels, 1};
  }

  // Returns those rows of an image's features, (D, P) in any layout, that are of a group's channels.
  Block group_features(const Tensor& image, int64_t group) const {
    const int64_t channel_stride = image.stride(0), position_stride = image.stride(1);
    const float* const data = static_cast<const float*>(image.data_ptr()) + group * group_channels * channel_stride;
    return {data, group_channels, positions, channel_stride, position_stride};
  }

  int64_t images, channels, positions, maps, groups, group_channels, vectors;
  bool interleaved;
};

// Returns an image of a batch in fp32, in the layout it has.
Tensor image_of(const Tensor& batch, int64_t image) {
  return torch::stable::to(torch::stable::select(batch, 0, image), ScalarType::Float);
}

std::unique_ptr<float[]> make_floats(int64_t size) { return std::make_unique_for_overwrite<float[]>(size); }

// Turns n into w, in place, and writes s.
void softmax(float* x, const Shape& shape, float* inverse_sums) {
  for (int64_t c = 0; c < shape.maps; ++c) {
    float* const row = x + c * shape.positions;
    inverse_sums[c] = 1.0f / powers(row, shape.positions, kLog2E, 1.0f);
    scale_by(row, shape.positions, inverse_sums[c]);
  }
}

}  // namespace

// Returns pooled features (B, d / groups, D), in the features' dtype, and r (B, P) and s (B, d) in fp32.
std::tuple<Tensor, Tensor, Tensor> aligned_pooling(Tensor features, Tensor maps, int64_t groups, bool interleaved) {
  const Shape shape(features, maps, groups, interleaved);
  const Tensor all_features = detached(features), all_maps = as_fp32(maps);
  const float* const map_data = static_cast<const float*>(all_maps.data_ptr());
  const bool is_fp32 = features.scalar_type() == ScalarType::Float;
  Tensor pooled = torch::stable::empty({shape.images, shape.vectors, shape.channels}, features.scalar_type());
  Tensor inverse_norms = torch::stable::empty({shape.images, shape.positions}, ScalarType::Float);
  Tensor inverse_sums = torch::stable::empty({shape.images, shape.maps}, ScalarType::Float);
  float* const norm_data = inverse_norms.mutable_data_ptr<float>();
  float* const sum_data = inverse_sums.mutable_data_ptr<float>();

  for_each_task(shape.images, [&](int64_t b) {
    const int64_t size = shape.maps * shape.positions;
    float* const norms = norm_data + b * shape.positions;
    const auto weights = make_floats(size);
    compute_inverse_norms(map_data + b * size, shape.maps, shape.positions, norms);
    normalize(map_data + b * size, norms, shape.maps, shape.positions, weights.get());
    softmax(weights.get(), shape, sum_data + b * shape.maps);

    const Tensor image = image_of(all_features, b);
    Tensor pooled_image = torch::stable::select(pooled, 0, b);
    Tensor out = is_fp32 ? pooled_image : torch::stable::empty({shape.vectors, shape.channels}, ScalarType::Float);
    const float* const out_data = static_cast<const float*>(out.data_ptr());
    for (int64_t g = 0; g < groups; ++g) {
      matmul_into(shape.group_vectors(out_data, g), shape.group_maps(weights.get(), g),
                  shape.group_features(image, g).transposed());
    }
    if (!is_fp32) torch::stable::copy_(pooled_image, out);
  });
  return {pooled, inverse_norms, inverse_sums};
}

// Returns the gradients to features, in their layout, and to maps; of no images where they are not needed.
std::tuple<Tensor, Tensor> aligned_pooling_backward(Tensor d_pooled, Tensor features, Tensor maps,
                                                    Tensor inverse_norms, Tensor inverse_sums, int64_t groups,
                                                    bool interleaved, bool need_features, bool need_maps) {
  const Shape shape(features, maps, groups, interleaved);
  const Tensor all_features = detached(features), all_maps = as_fp32(maps), all_d_pooled = as_fp32(d_pooled);
  const float* const map_data = static_cast<const float*>(all_maps.data_ptr());
  const float* const d_pooled_data = static_cast<const float*>(all_d_pooled.data_ptr());
  const float* const norm_data = static_cast<const float*>(inverse_norms.data_ptr());
  const float* const sum_data = static_cast<const float*>(inverse_sums.data_ptr());
  const ScalarType dtype = features.scalar_type();
  const bool is_fp32 = dtype == ScalarType::Float, channels_last = features.stride(1) == 1;
  const auto empty_features = [&](int64_t images, ScalarType type) {
    if (!channels_last) return torch::stable::empty({images, shape.channels, shape.positions}, type);
    return torch::stable::transpose(torch::stable::empty({images, shape.positions, shape.channels}, type), 1, 2);
  };
  Tensor d_features = empty_features(need_features ? shape.images : 0, dtype);
  Tensor d_maps = torch::stable::empty({need_maps ? shape.images : 0, shape.maps, shape.positions}, dtype);

  for_each_task(shape.images, [&](int64_t b) {
    const int64_t size = shape.maps * shape.positions;
    const float* const d_vectors = d_pooled_data + b * shape.vectors * shape.channels;
    const float* const norms = norm_data + b * shape.positions;
    const auto n = make_floats(size), w = make_floats(size);
    normalize(map_data + b * size, norms, shape.maps, shape.positions, n.get());
    std::copy_n(n.get(), size, w.get());
    for (int64_t c = 0; c < shape.maps; ++c) {
      float* const row = &w[c * shape.positions];
      powers(row, shape.positions, kLog2E, 1.0f);
      scale_by(row, shape.positions, sum_data[b * shape.maps + c]);
    }

    if (need_features) {
      Tensor d_image = torch::stable::select(d_features, 0, b);
      Tensor out = is_fp32 ? d_image : torch::stable::select(empty_features(1, ScalarType::Float), 0, 0);
      for (int64_t g = 0; g < groups; ++g) {
        matmul_into(shape.group_features(out, g), shape.group_vectors(d_vectors, g).transposed(),
                    shape.group_maps(w.get(), g));
      }
      if (!is_fp32) torch::stable::copy_(d_image, out);
    }
    if (need_maps) {
      const Tensor image = image_of(all_features, b);
      Tensor d_image_maps = torch::stable::select(d_maps, 0, b);
      Tensor out = is_fp32 ? d_image_maps : torch::stable::empty({shape.maps, shape.positions}, ScalarType::Float);
      float* const d = out.mutable_data_ptr<float>();
      for (int64_t g = 0; g < groups; ++g) {
        matmul_into(shape.group_maps(d, g), shape.group_vectors(d_vectors, g), shape.group_features(image, g));
      }
      const auto projection = make_floats(shape.positions);
      std::fill_n(projection.get(), shape.positions, 0.0f);
      for (int64_t c = 0; c < shape.maps; ++c) {
        const int64_t row = c * shape.positions;
        softmax_backward(d + row, &w[row], &n[row], shape.positions, projection.get());
      }
      for (int64_t p = 0; p < shape.positions; ++p) {
        if (norms[p] == 1.0f / kEpsilon) projection[p] = 0.0f;
      }
      for (int64_t c = 0; c < shape.maps; ++c) {
        const int64_t row = c * shape.positions;
        norm_backward(d + row, &n[row], norms, projection.get(), shape.positions);
      }
      if (!is_fp32) torch::stable::copy_(d_image_maps, out);
    }
  });
  return {d_features, d_maps};
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("aligned_pooling.cpp", TORCH_BOX(&aligned_pooling));
  library.impl("aligned_pooling_backward.cpp", TORCH_BOX(&aligned_pooling_backward));
}

}  // namespace sslfast
