// What a launch of the kernel is given: the scores S of B samples against K prototypes, their codes Q, and the
// memory in which blocks and warps find what others have computed. c = log2(e)/eps, E_bk = 2^(c S_bk).
#pragma once

#include <cstdint>

#include "cuda/sinkhorn_knopp/power_sum.cuh"

namespace sslfast::sinkhorn {

constexpr int kWarp = 32;
constexpr int kThreads = 512;  // and so 128 registers each, for the numbers that are on their way
constexpr int kWarps = kThreads / kWarp;
constexpr unsigned kAll = 0xffffffff;  // lanes of a warp

// What the pass over a row leaves for the pass over the columns: Q = factor E v, or factor 2^(x - top). The factor
// is NaN if the row has no codes.
struct Row {
  float top;  // where exponentials are taken anew; else unused
  float factor;
};

template <class T>
struct Problem {
  const T* scores;    // (B, K)
  float* codes;       // (B, K); E until then, of the rows that are not resident
  Row* rows;          // (B)
  PowerSum* partial;  // (blocks, K): of the columns; `top` in the first pass only
  int* fits;          // (blocks): whether all of a block's |c S| are at most `most_bits`
  float *t, *f, *v;   // (K): v where all blocks fit, else t and f
  int64_t samples;    // B
  int prototypes;     // K
  int iterations;
  float scale;        // c
  float most_bits;    // A
  int block_rows;     // rows a block
  int resident_rows;  // those of them whose E are in shared memory
};

}  // namespace sslfast::sinkhorn
