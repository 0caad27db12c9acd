// The tensors of an optimizer's step, checked and flattened: what its CPU and its CUDA kernels work on.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/flat_tensors.h"

namespace sslfast __attribute__((visibility("hidden"))) {  // as torch::stable::Tensor is

// One parameter and what belongs to it, as plain arrays whose elements correspond. All but the parameter and its
// gradient may be null.
struct ParameterArrays {
  float* parameter;
  const void* gradient;
  std::array<float*, 2> state;  // SGD: momentum; AdamW: averages of the gradient and of its square
  float* steps;                 // AdamW: one number, the steps done
  void* target;                 // follows as a moving average
  void* shadow;                 // receives a copy
  ScalarType gradient_type, target_type, shadow_type;
  int64_t count;
};

// Lists aligned with the first; those beside parameters and gradients may be empty.
struct OptimizerLists {
  const std::vector<Tensor>&parameters, &gradients;
  std::array<const std::vector<Tensor>*, 2> states;
  const std::vector<Tensor>* steps;
  const std::vector<Tensor>&targets, &shadows;
};

class OptimizerArrays {
 public:
  // Checks before anything is written.
  explicit OptimizerArrays(const OptimizerLists& lists) {
    for (size_t i = 0; i < lists.parameters.size(); ++i) check(lists, i);
    arrays_.reserve(lists.parameters.size());
    for (size_t i = 0; i < lists.parameters.size(); ++i) add(lists, i);
  }

  const std::vector<ParameterArrays>& arrays() const { return arrays_; }

  // Call after the kernel: brings what it changed back into tensors that had to be copied.
  void write_back() { staging_.write_back(); }

 private:
  static bool is_narrow(const Tensor& tensor) {
    const ScalarType type = tensor.scalar_type();
    return type == ScalarType::Float || type == ScalarType::BFloat16 || type == ScalarType::Half;
  }

  static void check(const OptimizerLists& lists, size_t i) {
    const Tensor& parameter = lists.parameters[i];
    const auto fits = [&](const std::vector<Tensor>& list, bool fp32) {
      return list.empty() || (list.at(i).device() == lists.parameters[0].device() && is_narrow(list[i]) &&
                              same_sizes(list[i], parameter) &&
                              (!fp32 || list[i].scalar_type() == ScalarType::Float));
    };
    bool good = fits(lists.parameters, true) && !lists.gradients.empty() && fits(lists.gradients, false) &&
                fits(lists.targets, false) && fits(lists.shadows, false);
    for (const auto* state : lists.states) good = good && (!state || fits(*state, true));
    if (lists.steps) {
      const Tensor& steps = lists.steps->at(i);
      good = good && steps.dim() == 0 && steps.scalar_type() == ScalarType::Float &&
             steps.device() == parameter.device();
    }
    // The Python side finds the words.
    if (!good) throw std::runtime_error("the tensors of params[" + std::to_string(i) + "] do not fit");
  }

  void add(const OptimizerLists& lists, size_t i) {
    const Tensor parameter = staging_.dense(lists.parameters[i]);
    const auto laid_out = [&](const std::vector<Tensor>* list, bool changes = true) {
      return list && !list->empty() ? staging_.like(parameter, (*list)[i], changes).data_ptr() : nullptr;
    };
    const auto type = [&](const std::vector<Tensor>& list) {
      return list.empty() ? ScalarType::Float : list[i].scalar_type();
    };
    arrays_.push_back({
        .parameter = static_cast<float*>(parameter.data_ptr()),
        .gradient = laid_out(&lists.gradients, /*changes=*/false),
        .state = {static_cast<float*>(laid_out(lists.states[0])), static_cast<float*>(laid_out(lists.states[1]))},
        .steps = lists.steps ? static_cast<float*>((*lists.steps)[i].data_ptr()) : nullptr,
        .target = laid_out(&lists.targets),
        .shadow = laid_out(&lists.shadows),
        .gradient_type = type(lists.gradients),
        .target_type = type(lists.targets),
        .shadow_type = type(lists.shadows),
        .count = parameter.numel(),
    });
  }

  std::vector<ParameterArrays> arrays_;
  Staging staging_;
};

}  // namespace sslfast
