// Shared memory, as translate.py declares it, and loads.
#pragma once

#include <cstddef>

namespace emulator {

// The block's dynamic shared memory, of as many bytes as its launch gave.
void* dynamic_shared();

// The block's variable with this key; made where a thread of the block comes to its declaration first.
void* shared_variable(const void* key, size_t bytes);

// A `__shared__` variable. `Declaration` is a type of this declaration's own: a lambda's.
template <class T, class Declaration>
T& shared(Declaration) {
  static char key;
  return *static_cast<T*>(shared_variable(&key, sizeof(T)));
}

}  // namespace emulator

template <class T>
T __ldg(const T* address) {
  return *address;
}
