// Threads of a block as fibers: functions that can be left and taken up again, each on a stack of its own.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace emulator {

class Fiber {
 public:
  static constexpr size_t kStackBytes = 128 << 10;  // what is not touched takes no memory

  explicit Fiber(char* stack) : stack_(stack) {}
  Fiber(const Fiber&) = delete;

  // Begins with a new task; one that has not returned is forgotten.
  void begin(const std::function<void()>* task);

  // Runs the task on until it suspends itself or returns.
  void resume();

  // Called by the task: goes back to where `resume` was called.
  void suspend();

 private:
  static void enter(unsigned high, unsigned low);
  [[noreturn]] void work();

  char* const stack_;
  const std::function<void()>* task_ = nullptr;
  bool is_between_tasks_ = false;  // it has a context, and waits for the next task
  bool is_entered_ = false;
  ucontext_t context_;
  jmp_buf here_, host_;
  // What AddressSanitizer keeps of either side, and the host's stack.
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] const void* host_stack_ = nullptr;
  [[maybe_unused]] size_t host_bytes_ = 0;
};

// The fiber with a number below those of all that were asked for so far, or the next one. Made once.
Fiber& fiber(size_t number);

// Whether the address lies in some fiber's stack.
bool is_in_a_stack(const void* address);

}  // namespace emulator
