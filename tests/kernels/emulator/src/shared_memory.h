// The shared memory of one block: its dynamic part and its variables, with memory between them that nobody may touch.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace emulator {

class SharedMemory {
 public:
  explicit SharedMemory(size_t dynamic_bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;

  void* dynamic() { return parts_[0].begin; }

  // The variable with this key, made if there is none; null if the variables take more than kStaticSharedBytes.
  void* variable(const void* key, size_t bytes);

  // Whether the address lies in this block's shared memory, and whether such an access stays within one part of it.
  bool contains(const void* address) const;
  bool allows(const void* address, size_t bytes) const;

  size_t dynamic_bytes() const { return parts_[0].bytes; }

 private:
  struct Part {
    const void* key;
    unsigned char* begin;
    size_t bytes;
  };

  Part& add(const void* key, size_t bytes);

  const size_t bytes_;
  unsigned char* const arena_;
  size_t used_;
  std::vector<Part> parts_;
};

}  // namespace emulator
