// Atomic operations. Others may run between any two of them: so a loop that waits by one gets on.
#pragma once

#include <cstddef>
#include <type_traits>

namespace emulator {

// Lets other threads run.
void yield();

// Tells the search for races.
void note_atomic(const void* address, size_t bytes);

template <class T, class F>
__attribute__((no_sanitize("thread"))) T atomic(T* address, const F& change) {
  yield();
#if defined(__SANITIZE_THREAD__)  // else plain accesses are not told either
  note_atomic(address, sizeof(T));
#endif
  const T old = *address;
  *address = change(old);
  return old;
}

}  // namespace emulator

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return emulator::atomic(address, [=](T old) { return static_cast<T>(old + value); });
}

template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return emulator::atomic(address, [=](T old) { return value < old ? value : old; });
}

template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return emulator::atomic(address, [=](T old) { return old < value ? value : old; });
}

template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return emulator::atomic(address, [=](T) { return value; });
}

template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return emulator::atomic(address, [=](T old) { return old == expected ? value : old; });
}
