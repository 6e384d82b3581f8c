// SPDX-License-Identifier: Apache-2.0
// AVX-512 F, BW, VL and DQ. 32 registers: 12 query rows x 2 vectors are 24 accumulators, which
// leaves room for 2 panel vectors and a broadcast.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace longrope::evaluator::cpu {
namespace {  // each object file is compiled for its own instruction set: see vector_math.hpp

struct Avx512 {
    static constexpr int width = 16;
    static constexpr int query_rows = 12;
    static constexpr int key_vectors = 2;
    static constexpr int value_vectors = 2;
    using Floats [[gnu::vector_size(64)]] = float;
    using Ints [[gnu::vector_size(64)]] = std::int32_t;
    [[gnu::always_inline]] static Floats fma(Floats a, Floats b, Floats c) {
        return _mm512_fmadd_ps(a, b, c);
    }
    [[gnu::always_inline]] static Floats max(Floats a, Floats b) {
        // GCC 12 warns of an uninitialised value inside the unmasked form; the code is the same.
        return _mm512_maskz_max_ps(0xFFFF, a, b);
    }
};

}  // namespace
}  // namespace longrope::evaluator::cpu
