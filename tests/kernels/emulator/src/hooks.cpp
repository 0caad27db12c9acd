// What -fsanitize=thread calls for accesses to memory; in the host's code too, where there is nothing to look for.
#include <cstddef>
#include <cstdint>

#include "races.h"

namespace {

void access(const void* address, size_t bytes, emulator::Access kind) {
  emulator::Thread* const thread = emulator::current;
  if (thread != nullptr && !emulator::is_in_a_stack(address)) emulator::races.access(*thread, address, bytes, kind);
}

using emulator::Access;

}  // namespace

#define HOOKS(bytes)                                                                                         \
  void __tsan_read##bytes(void* address) { access(address, bytes, Access::kRead); }                          \
  void __tsan_write##bytes(void* address) { access(address, bytes, Access::kWrite); }                        \
  void __tsan_unaligned_read##bytes(void* address) { access(address, bytes, Access::kRead); }                \
  void __tsan_unaligned_write##bytes(void* address) { access(address, bytes, Access::kWrite); }

// Of the host's shared pointers and guards: a kernel's atomics are those of atomics.h.
#define HOST_ATOMICS(bits, T)                                                                                \
  T __tsan_atomic##bits##_load(const volatile T* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }   \
  void __tsan_atomic##bits##_store(volatile T* at, T value, int) {                                           \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                           \
  }                                                                                                          \
  T __tsan_atomic##bits##_exchange(volatile T* at, T value, int) {                                           \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                                          \
  T __tsan_atomic##bits##_fetch_add(volatile T* at, T value, int) {                                          \
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);                                                  \
  }                                                                                                          \
  T __tsan_atomic##bits##_fetch_sub(volatile T* at, T value, int) {                                          \
    return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);                                                  \
  }                                                                                                          \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* at, T* expected, T value, int, int) {        \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
  }                                                                                                          \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* at, T* expected, T value, int, int) {          \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);      \
  }

extern "C" {

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
HOST_ATOMICS(8, uint8_t)
HOST_ATOMICS(32, uint32_t)
HOST_ATOMICS(64, uint64_t)

void __tsan_read_range(void* address, size_t bytes) { access(address, bytes, Access::kRead); }
void __tsan_write_range(void* address, size_t bytes) { access(address, bytes, Access::kWrite); }

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_atomic_thread_fence(int) {}
void __tsan_acquire(void*) {}
void __tsan_release(void*) {}

}  // extern "C"
