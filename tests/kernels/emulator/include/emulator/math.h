// Functions on numbers that CUDA C++ has beside the C library's.
#pragma once

#include <math.h>

#include <type_traits>

template <class A, class B>
  requires(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>)
constexpr auto min(A a, B b) -> std::common_type_t<A, B> {
  return b < a ? b : a;
}

template <class A, class B>
  requires(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>)
constexpr auto max(A a, B b) -> std::common_type_t<A, B> {
  return a < b ? b : a;
}
