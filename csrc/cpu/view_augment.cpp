// Augmented views: uint8 images in, normalised channels_last views out, each sample with its own draw.
//
// A sample is a task. It is held as three planes, and passed over a block of pixels at a time: all that is done to a
// pixel by itself is done while the block lies in the first-level cache. Contrast needs the image's mean gray after
// the operations before it, so colour jitter is two passes; resizing and blurring have loops of their own.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "cpu/filters.h"
#include "cpu/parallel.h"
#include "cpu/pixels.h"

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

// What the samples of a batch share.
struct Plan {
  int64_t height, width;  // of the images
  int64_t size;           // of the views
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
void make_view(T* out, const uint8_t* image, const Draw& draw, const Plan& plan, Workspace& memory) {
  const int64_t pixels = plan.size * plan.size;
  memory.planes.resize(3 * pixels);
  float* const planes = memory.planes.data();
  const Pixels view = {planes, planes + pixels, planes + 2 * pixels, pixels};
  if (plan.crop) {
    memory.resize(image, plan.width, draw.box(), draw.flip != 0, plan.size, view);
  } else {
    load_levels(view, image);
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

void check(const Draw* draws, const int64_t* rows, int64_t samples, int64_t images, const Plan& plan) {
  for (int64_t i = 0; i < samples; ++i) {
    STD_TORCH_CHECK(!rows || (rows[i] >= 0 && rows[i] < images), "view_augment: expected rows in [0, ", images,
                    "), got ", rows ? rows[i] : 0);
    const Box box = draws[i].box();
    const bool inside = box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                        box.top + box.height <= plan.height && box.left + box.width <= plan.width;
    STD_TORCH_CHECK(!plan.crop || inside, "view_augment: expected boxes inside images of ", plan.height, "x",
                    plan.width, ", got top ", box.top, ", left ", box.left, ", height ", box.height, ", width ",
                    box.width, " for sample ", i);
  }
}

}  // namespace

Tensor view_augment(Tensor images, Tensor draws, std::optional<Tensor> rows, int64_t size, std::vector<double> mean,
                    std::vector<double> std, bool crop, ScalarType dtype) {
  const Tensor levels = torch::stable::contiguous(images), table = torch::stable::contiguous(draws);
  const Tensor order = rows ? torch::stable::contiguous(*rows) : levels;
  Plan plan = {images.size(1), images.size(2), size, crop, {}};
  for (int c = 0; c < 3; ++c) {
    plan.normalize.a[c] = static_cast<float>(1 / std[c]);
    plan.normalize.b[c] = static_cast<float>(-mean[c] / std[c]);
  }
  const int64_t samples = draws.size(0);
  const auto* const image = static_cast<const uint8_t*>(levels.data_ptr());
  const auto* const draw = static_cast<const Draw*>(table.data_ptr());
  const auto* const row = rows ? static_cast<const int64_t*>(order.data_ptr()) : nullptr;
  check(draw, row, samples, images.size(0), plan);

  Tensor out = torch::stable::empty({samples, 3, size, size}, dtype, std::nullopt, std::nullopt, std::nullopt,
                                    MemoryFormat::ChannelsLast);
  const auto make_all = [&](auto* views) {
    for_each_row(samples, kCost * size * size, [&](int64_t i) {
      static thread_local Workspace memory;
      const uint8_t* const levels_of = image + (row ? row[i] : i) * 3 * plan.height * plan.width;
      make_view(views + i * 3 * size * size, levels_of, draw[i], plan, memory);
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

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("view_augment.cpp", TORCH_BOX(&view_augment)); }

}  // namespace sslfast
