// Numbers that lie beside one another, read or written together.
#pragma once

namespace sslfast {

constexpr int kVectorBytes = 16;  // of the widest access to memory

template <class T, int N>
struct alignas(sizeof(T) * N < kVectorBytes ? sizeof(T) * N : kVectorBytes) Vector {
  T at[N];
};

}  // namespace sslfast
