// SPDX-License-Identifier: Apache-2.0
// Kernels for CPUs with AVX2 and FMA. 16 registers: 6 query rows x 2 vectors are 12 accumulators,
// which leaves room for 2 panel vectors and a broadcast.
#include <immintrin.h>

#include "evaluator/cpu/kernels/make_kernel_set.hpp"

namespace longrope::evaluator::cpu {
namespace {

struct Avx2 {
    static constexpr int width = 8;
    static constexpr int query_rows = 6;
    static constexpr int key_vectors = 2;
    static constexpr int value_vectors = 2;
    using Floats [[gnu::vector_size(32)]] = float;
    using Ints [[gnu::vector_size(32)]] = std::int32_t;
    [[gnu::always_inline]] static Floats fma(Floats a, Floats b, Floats c) {
        return _mm256_fmadd_ps(a, b, c);
    }
    [[gnu::always_inline]] static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
};

constexpr KernelSet kernels = make_kernel_set<Avx2>("avx2");

}  // namespace

const KernelSet& avx2_kernels() noexcept {
    return kernels;
}

}  // namespace longrope::evaluator::cpu
