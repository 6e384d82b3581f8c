// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "evaluator/cpu/kernels/kernel_set.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::cpu {

/// Instruction sets there are kernels for, each containing the ones before it.
enum class InstructionSet : std::uint8_t {
    baseline,  ///< x86-64 with SSE2
    avx2,      ///< AVX2 and FMA
    avx512,    ///< AVX-512 F, BW, VL, DQ
};

[[nodiscard]] const char* instruction_set_name(InstructionSet set) noexcept;

/// The widest instruction set of this CPU.
[[nodiscard]] InstructionSet detect_instruction_set() noexcept;

/// @param setting  "auto" (the widest of this CPU), "baseline", "avx2" or "avx512"
/// @throws EvaluatorError if the name is unknown or this CPU lacks it, naming both
[[nodiscard]] InstructionSet choose_instruction_set(const std::string& setting);

/// @throws EvaluatorError if products in this precision need instructions that are not there
void require_precision(InstructionSet set, Precision precision);

/// With bf16, which is for CPUs with AVX512_BF16 alone, attention multiplies bfloat16 too.
[[nodiscard]] const KernelSet& kernels_of(InstructionSet set,
                                          Precision precision = Precision::f32) noexcept;

}  // namespace longrope::evaluator::cpu
