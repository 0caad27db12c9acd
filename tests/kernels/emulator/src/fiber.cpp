// Contexts are made by <ucontext.h> and switched by _longjmp, which unlike swapcontext makes no system call.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <deque>
#include <new>
#include <stdexcept>
#include <string>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(...)
#define __sanitizer_finish_switch_fiber(...)
#define __asan_unpoison_memory_region(...)
#endif

namespace emulator {
namespace {

// Stacks lie in one stretch of address space, each above a page that cannot be touched.
constexpr size_t kFibers = 16 << 10;
char* stacks = nullptr;

char* stack(size_t number) {
  if (stacks == nullptr) {
    void* space = mmap(nullptr, kFibers * Fiber::kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) throw std::bad_alloc();
    stacks = static_cast<char*>(space);
  }
  if (number >= kFibers) {
    throw std::runtime_error("emulator: runs up to " + std::to_string(kFibers) + " threads at a time");
  }
  char* const begin = stacks + number * Fiber::kStackBytes;
  mprotect(begin, sysconf(_SC_PAGESIZE), PROT_NONE);
  return begin;
}

}  // namespace

Fiber& fiber(size_t number) {
  static std::deque<Fiber> fibers;
  while (fibers.size() <= number) fibers.emplace_back(stack(fibers.size()));
  return fibers[number];
}

bool is_in_a_stack(const void* address) {
  return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(stacks) < kFibers * Fiber::kStackBytes;
}

void Fiber::begin(const std::function<void()>* task) {
  task_ = task;
  if (is_between_tasks_) return;
  is_entered_ = false;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(this);
  __asan_unpoison_memory_region(stack_, kStackBytes);
  makecontext(&context_, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(address >> 32),
              static_cast<unsigned>(address));
}

void Fiber::resume() {
  [[maybe_unused]] void* host_fake_stack = nullptr;
  is_between_tasks_ = false;
  __sanitizer_start_switch_fiber(&host_fake_stack, stack_, kStackBytes);
  if (_setjmp(host_) == 0) {
    if (is_entered_) _longjmp(here_, 1);
    is_entered_ = true;
    setcontext(&context_);
  }
  __sanitizer_finish_switch_fiber(host_fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  __sanitizer_start_switch_fiber(&fake_stack_, host_stack_, host_bytes_);
  if (_setjmp(here_) == 0) _longjmp(host_, 1);
  __sanitizer_finish_switch_fiber(fake_stack_, &host_stack_, &host_bytes_);
}

void Fiber::enter(unsigned high, unsigned low) {
  reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low)->work();
}

void Fiber::work() {
  __sanitizer_finish_switch_fiber(nullptr, &host_stack_, &host_bytes_);
  for (;;) {
    (*task_)();
    is_between_tasks_ = true;
    suspend();
  }
}

}  // namespace emulator
