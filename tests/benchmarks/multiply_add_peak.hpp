// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluator/cpu/instruction_set.hpp"
#include "evaluator/precision.hpp"

namespace longrope::benchmarks {

/// Multiply-adds (2 FLOP each) that one core of this CPU does in registers, in GFLOP/s: of float32,
/// which the baseline counts in separate products and sums as it has no fused ones, or of pairs of
/// bfloat16, for CPUs with AVX512_BF16 alone.
[[nodiscard]] double multiply_add_peak(evaluator::cpu::InstructionSet set,
                                       evaluator::Precision precision);

}  // namespace longrope::benchmarks
