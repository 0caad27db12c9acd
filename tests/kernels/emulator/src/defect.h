// What is thrown when a kernel does what CUDA leaves undefined, or when it waits forever.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace emulator {

struct Thread;

struct Defect : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "file:line"
std::string where(const std::source_location& site);

// "block 1, thread 33", counted with x fastest.
std::string name_of(const Thread& thread);

// "0x0000ffff"
std::string hex(unsigned mask);

// Ends the launch from within the thread that runs: `run` throws a Defect that begins with the kernel's name.
[[noreturn]] void fail(const std::string& what);

}  // namespace emulator
