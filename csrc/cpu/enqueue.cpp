// The update of a queue: keys go into the rows from the pointer on, which then moves past them.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "cpu/common/average.h"
#include "cpu/common/tensors.h"

namespace sslfast {
namespace {

// Returns the tensor if it is contiguous, else a copy that is. Autograd is not to hear of it.
Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(detached(tensor));
}

}  // namespace

void enqueue_(Tensor queue, Tensor keys, Tensor pointer, std::optional<Tensor> skip) {
  if (skip && *static_cast<const bool*>(skip->data_ptr())) return;
  const int64_t size = queue.size(0), d = queue.size(1), count = keys.size(0);
  if (count == 0) return;
  const Tensor rows = dense(queue), values = dense(keys);
  int64_t& first = *static_cast<int64_t*>(pointer.data_ptr());
  first = (first % size + size) % size;  // whatever it was, no row lies outside of the queue
  const EmaPair whole = {rows.data_ptr(), values.data_ptr(), count * d, rows.scalar_type(), values.scalar_type()};
  const auto copy = [&](int64_t key, int64_t row, int64_t number) {
    EmaPair part = slice(whole, key * d, number * d);
    part.target = slice(whole, row * d, number * d).target;
    torch::stable::parallel_for(0, part.count, kGrain, [&](int64_t begin, int64_t end) {
      average(slice(part, begin, end - begin), /*momentum=*/0);
    });
  };
  const int64_t before_end = std::min(count, size - first);
  copy(0, first, before_end);
  copy(before_end, 0, count - before_end);
  first = (first + count) % size;
  if (rows.data_ptr() == queue.data_ptr()) return;
  Tensor strided = detached(queue);
  torch::stable::copy_(strided, rows);
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("enqueue_.cpp", TORCH_BOX(&enqueue_)); }

}  // namespace sslfast
