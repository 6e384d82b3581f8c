// SPDX-License-Identifier: Apache-2.0
// Kernels for CPUs with AVX512_BF16 besides: those of avx512, with attention in bfloat16.
#include "evaluator/cpu/kernels/avx512_isa.hpp"
#include "evaluator/cpu/kernels/make_kernel_set.hpp"

namespace longrope::evaluator::cpu {
namespace {

/// Pairs of bfloat16, both products of a lane added to its float32 at once.
struct BfloatPairs {
    using Floats = Avx512::Floats;
    using Element = std::uint16_t;
    using Operand [[gnu::vector_size(64)]] = std::int16_t;
    static constexpr int depth = 2;

    /// Rounded to the nearest, ties to even.
    [[gnu::always_inline]] static Element element(float value) {
        const __m128bh rounded = _mm_cvtneps_pbh(_mm_set_ss(value));
        Element result;
        __builtin_memcpy(&result, &rounded, sizeof result);
        return result;
    }
    [[gnu::always_inline]] static Operand broadcast(const Element* from) {
        std::int32_t pair;
        __builtin_memcpy(&pair, from, sizeof pair);
        return reinterpret_cast<Operand>(_mm512_set1_epi32(pair));
    }
    [[gnu::always_inline]] static Floats multiply_add(Operand a, Operand b, Floats c) {
        return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
    }
    [[gnu::always_inline]] static void store(Element* to, Floats first, Floats second) {
        const __m512bh rounded = _mm512_cvtne2ps_pbh(second, first);  // the low half comes last
        __builtin_memcpy(to, &rounded, sizeof rounded);
    }
};

constexpr KernelSet kernels = make_kernel_set<Avx512, BfloatPairs>("avx512-bf16");

}  // namespace

const KernelSet& avx512_bf16_kernels() noexcept {
    return kernels;
}

}  // namespace longrope::evaluator::cpu
