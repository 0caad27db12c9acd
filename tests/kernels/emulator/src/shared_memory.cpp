#include "shared_memory.h"

#include <cstdint>
#include <cstring>
#include <new>

#include "races.h"
#include "settings.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(...)
#define __asan_unpoison_memory_region(...)
#endif

namespace emulator {
namespace {

constexpr size_t kAlignment = 128;  // CUDA promises 16
constexpr size_t kGap = 128;        // at least, before and after each part
constexpr int kNaN = 0xff;          // what memory holds before it is written, in each byte

size_t rounded_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

SharedMemory::SharedMemory(size_t dynamic_bytes)
    : bytes_(rounded_up(dynamic_bytes) + 2 * kStaticSharedBytes + 2 * kGap),
      arena_(static_cast<unsigned char*>(::operator new(bytes_, std::align_val_t(kAlignment)))),
      used_(kGap) {
  races.forget(arena_, bytes_);
  __asan_poison_memory_region(arena_, bytes_);
  add(nullptr, dynamic_bytes);
}

SharedMemory::~SharedMemory() {
  __asan_unpoison_memory_region(arena_, bytes_);
  ::operator delete(arena_, std::align_val_t(kAlignment));
}

SharedMemory::Part& SharedMemory::add(const void* key, size_t bytes) {
  unsigned char* const begin = arena_ + used_;
  __asan_unpoison_memory_region(begin, bytes);
  std::memset(begin, kNaN, bytes);
  used_ += rounded_up(bytes) + kGap;
  return parts_.emplace_back(Part{key, begin, bytes});
}

void* SharedMemory::variable(const void* key, size_t bytes) {
  size_t variables = bytes;
  for (size_t i = 1; i < parts_.size(); ++i) {
    if (parts_[i].key == key) return parts_[i].begin;
    variables += parts_[i].bytes;
  }
  if (variables > kStaticSharedBytes || used_ + rounded_up(bytes) + kGap > bytes_) return nullptr;
  return add(key, bytes).begin;
}

bool SharedMemory::contains(const void* address) const {
  return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(arena_) < bytes_;
}

bool SharedMemory::allows(const void* address, size_t bytes) const {
  for (const Part& part : parts_) {
    const size_t offset = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(part.begin);
    if (offset < part.bytes && bytes <= part.bytes - offset) return true;
  }
  return false;
}

}  // namespace emulator
