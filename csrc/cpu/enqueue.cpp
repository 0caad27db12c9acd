// The update of a queue: keys go into the rows from the pointer on, which then moves past them.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>

#include "cpu/common/average.h"
#include "cpu/common/parallel.h"

namespace sslfast {

void enqueue_(Tensor queue, Tensor keys, Tensor pointer, std::optional<Tensor> skip) {
  if (skip && *static_cast<const bool*>(skip->data_ptr())) return;
  const int64_t size = queue.size(0), d = queue.size(1), count = keys.size(0);
  if (count == 0) return;
  Tensor rows = torch::stable::contiguous(queue);
  const Tensor values = torch::stable::contiguous(keys);
  int64_t& first = *static_cast<int64_t*>(pointer.data_ptr());
  first = (first % size + size) % size;  // whatever it was, no row lies outside of the queue
  const EmaPair whole = {rows.data_ptr(), values.data_ptr(), count * d, rows.scalar_type(), values.scalar_type()};
  for_each_row(count, d, [&](int64_t i) {
    EmaPair row = slice(whole, i * d, d);
    row.target = slice(whole, (first + i) % size * d, d).target;
    average(row, /*momentum=*/0);  // copies
  });
  first = (first + count) % size;
  if (rows.data_ptr() != queue.data_ptr()) torch::stable::copy_(queue, rows);
}

STABLE_TORCH_LIBRARY_IMPL(sslfast, CPU, library) { library.impl("enqueue_.cpp", TORCH_BOX(&enqueue_)); }

}  // namespace sslfast
