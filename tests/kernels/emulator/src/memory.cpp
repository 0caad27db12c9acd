#include "emulator/memory.h"

#include "defect.h"
#include "emulator/atomics.h"
#include "races.h"
#include "settings.h"

namespace emulator {

void* dynamic_shared() { return current->block->shared.dynamic(); }

void* shared_variable(const void* key, size_t bytes) {
  void* const variable = current->block->shared.variable(key, bytes);
  if (variable == nullptr) {
    fail(name_of(*current) + " declares more than the " + std::to_string(kStaticSharedBytes) +
         " bytes of shared variables that kStaticSharedBytes keeps");
  }
  return variable;
}

void yield() {
  wake(*current);
  suspend();
}

void note_atomic(const void* address, size_t bytes) {
  races.access(*current, address, bytes, Access::kAtomic);
}

}  // namespace emulator
