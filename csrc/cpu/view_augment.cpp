// Augmented views on the CPU: uint8 images in, normalized channels_last views out, each sample with its own draw.
//
// A sample is a task. It is held as three planes, and passed over a block of pixels at a time: the operations on single
// pixels are done while the block lies in the first-level cache. Contrast needs the image's mean gray after the
// operations before it, so color jitter is two passes; resizing and blurring have loops of their own.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "cpu/common/filters.h"
#include "cpu/common/parallel.h"
#include "cpu/common/pixels.h"

namespace sslfast {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace {

constexpr int64_t kBlock = 1024;  // pixels: 12 KiB
constexpr int64_t kCost = 128;    // of a pixel, in additions, about

// A row of the draws: kernels/view_augment/draw.py.
struct Draw {
  float top, left, height, width;
  float flip;
  float jitter, brightness, contrast, saturation, hue, order;
  float grayscale, sigma, solarize;

  Box box() const {
    return {static_cast<int64_t>(top), static_cast<int64_t>(left), static_cast<int64_t>(height),
            static_cast<int64_t>(width)};
  }
};

enum Operation { kBrightness, kContrast, kSaturation, kHue };
constexpr int kOperations = 4;

Operation operation(const Draw& draw, int step) {
  return static_cast<Operation>(static_cast<int>(draw.order) >> (2 * step) & 3);
}

void adjust(const Pixels& x, Operation operation, const Draw& draw, float mean_gray) {
  switch (operation) {
    case kBrightness:
      return adjust_brightness(x, draw.brightness);
    case kContrast:
      return adjust_contrast(x, draw.contrast, mean_gray);
    case kSaturation:
      return adjust_saturation(x, draw.saturation);
    case kHue:
      return adjust_hue(x, draw.hue);
  }
}

template <class Body>
void for_each_block(const Pixels& image, const Body& body) {
  for (int64_t begin = 0; begin < image.count; begin += kBlock) {
    body(image.part(begin, std::min(kBlock, image.count - begin)), begin);
  }
}

void color_jitter(const Pixels& image, const Draw& draw) {
  int contrast = 0;
  while (contrast < kOperations && operation(draw, contrast) != kContrast) ++contrast;
  double sum = 0.0;
  for_each_block(image, [&](const Pixels& x, int64_t) {
    for (int step = 0; step < contrast; ++step) adjust(x, operation(draw, step), draw, /*mean_gray=*/0.0f);
    sum += sum_of_gray(x);
  });
  const auto mean_gray = static_cast<float>(sum / static_cast<double>(image.count));
  for_each_block(image, [&](const Pixels& x, int64_t) {
    for (int step = contrast; step < kOperations; ++step) adjust(x, operation(draw, step), draw, mean_gray);
  });
}

// The image of a sample: rows of pixels, red, green and blue in turns.
struct Image {
  const uint8_t* levels;
  int64_t height, width;
};

// The settings that the samples of a batch share.
struct Plan {
  int64_t size;  // the views' side
  bool crop;
  Affine normalize;
};

// The memory that a thread works in.
struct Workspace {
  std::vector<float> planes;
  Resizer resize;
  Blur blur;
};

template <class T>
void make_view(T* out, const Image& image, const Draw& draw, const Plan& plan, Workspace& memory) {
  const int64_t pixels = plan.size * plan.size;
  memory.planes.resize(3 * pixels);
  float* const planes = memory.planes.data();
  const Pixels view = {planes, planes + pixels, planes + 2 * pixels, pixels};
  if (plan.crop) {
    memory.resize(image.levels, image.width, draw.box(), draw.flip != 0, plan.size, view);
  } else {
    load_levels(view, image.levels);
  }
  if (draw.jitter != 0) color_jitter(view, draw);
  if (draw.grayscale != 0) grayscale(view);
  if (draw.sigma > 0) {
    const int64_t radius = std::max<int64_t>(1, plan.size / 20);  // of the window max(3, size // 10 | 1)
    for (float* plane : {view.red, view.green, view.blue}) memory.blur(plane, plan.size, radius, draw.sigma);
  }
  for_each_block(view, [&](const Pixels& x, int64_t begin) {
    if (draw.solarize != 0) solarize(x);
    store_pixels(x, plan.normalize, out + 3 * begin);
  });
}

// Throws unless each sample's box lies in its image.
void check_boxes(const Draw* draws, const std::vector<Image>& images) {
  for (size_t i = 0; i < images.size(); ++i) {
    const Box box = draws[i].box();
    const Image& image = images[i];
    const bool inside = box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                        box.top + box.height <= image.height && box.left + box.width <= image.width;
    STD_TORCH_CHECK(inside, "view_augment: expected boxes inside images of ", image.height, "x", image.width,
                    ", got top ", box.top, ", left ", box.left, ", height ", box.height, ", width ", box.width,
                    " for sample ", i);
  }
}

// Returns views (B, 3, size, size) of images, one a sample.
Tensor make_views(const std::vector<Image>& images, const Tensor& draws, int64_t size,
                  const std::vector<double>& mean, const std::vector<double>& std, bool crop, ScalarType dtype) {
  const Tensor table = torch::stable::contiguous(draws);
  const auto* const draw = static_cast<const Draw*>(table.data_ptr());
  if (crop) check_boxes(draw, images);
  Plan plan = {size, crop, {}};
  for (int c = 0; c < 3; ++c) {
    plan.normalize.a[c] = static_cast<float>(1 / std[c]);
    plan.normalize.b[c] = static_cast<float>(-mean[c] / std[c]);
  }
  const auto samples = static_cast<int64_t>(images.size());
  Tensor out = torch::stable::empty({samples, 3, size, size}, dtype, std::nullopt, std::nullopt, std::nullopt,
                                    MemoryFormat::ChannelsLast);
  const auto make_all = [&](auto* views) {
    for_each_row(samples, kCost * size * size, [&](int64_t i) {
      static thread_local Workspace memory;
      make_view(views + i * 3 * size * size, images[i], draw[i], plan, memory);
    });
  };
  switch (dtype) {
    case ScalarType::Half:
      make_all(static_cast<Half*>(out.data_ptr()));
      break;
    case ScalarType::BFloat16:
      make_all(static_cast<BFloat16*>(out.data_ptr()));
      break;
    default:
      make_all(static_cast<float*>(out.data_ptr()));
  }
  return out;
}

}  // namespace

// Returns views of samples of one tensor of images, (N, H, W, 3): sample i's image is rows[i], or i.
Tensor view_augment(Tensor images, Tensor draws, std::optional<Tensor> rows, int64_t size, std::vector<double> mean,
                    std::vector<double> std, bool crop, ScalarType dtype) {
  const Tensor levels = torch::stable::contiguous(images);
  const Tensor order = rows ? torch::stable::contiguous(*rows) : levels;
  const auto* const first = static_cast<const uint8_t*>(levels.data_ptr());
  const auto* const row = rows ? static_cast<const int64_t*>(order.data_ptr()) : nullptr;
  const int64_t count = images.size(0), height = images.size(1), width = images.size(2);
  std::vector<Image> sample_images;
  for (int64_t i = 0; i < draws.size(0); ++i) {
    const int64_t image = row ? row[i] : i;
    STD_TORCH_CHECK(image >= 0 && image < count, "view_augment: expected rows in [0, ", count, "), got ", image);
    sample_images.push_back({first + image * 3 * height * width, height, width});
  }
  return make_views(sample_images, draws, size, mean, std, crop, dtype);
}

// Returns views of images of different sizes, each (H, W, 3).
Tensor view_augment_list(std::vector<Tensor> images, Tensor draws, int64_t size, std::vector<double> mean,
                         std::vector<double> std, ScalarType dtype) {
  std::vector<Image> sample_images;
  for (Tensor& image : images) {
    image = torch::stable::contiguous(image);
    sample_images.push_back({static_cast<const uint8_t*>(image.data_ptr()), image.size(0), image.size(1)});
  }
  return make_views(sample_images, draws, size, mean, std, /*crop=*/true, dtype);
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) {
  library.impl("view_augment.cpp", TORCH_BOX(&view_augment));
  library.impl("view_augment_list.cpp", TORCH_BOX(&view_augment_list));
}

}  // namespace sslfast
