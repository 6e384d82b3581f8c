// SPDX-License-Identifier: Apache-2.0
// Kernels for any x86-64 CPU (SSE2, no fused multiply-add). 16 registers: 4 query rows x 2 vectors
// are 8 accumulators, which leaves room for panel vectors, a broadcast and the products.
#include <emmintrin.h>

#include "evaluator/cpu/kernels/make_kernel_set.hpp"

namespace longrope::evaluator::cpu {
namespace {

struct Baseline {
    static constexpr int width = 4;
    static constexpr int query_rows = 4;
    static constexpr int key_vectors = 2;
    static constexpr int value_vectors = 2;
    using Floats [[gnu::vector_size(16)]] = float;
    using Ints [[gnu::vector_size(16)]] = std::int32_t;
    [[gnu::always_inline]] static Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
    [[gnu::always_inline]] static Floats max(Floats a, Floats b) { return _mm_max_ps(a, b); }
};

constexpr KernelSet kernels = make_kernel_set<Baseline>("baseline");

}  // namespace

const KernelSet& baseline_kernels() noexcept {
    return kernels;
}

}  // namespace longrope::evaluator::cpu
