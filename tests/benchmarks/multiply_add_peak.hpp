// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluator/cpu/instruction_set.hpp"

namespace longrope::benchmarks {

/// float32 multiply-adds (2 FLOP each) that one core of this CPU does in registers, in GFLOP/s; the
/// baseline, which has no fused ones, is counted in separate products and sums.
[[nodiscard]] double multiply_add_peak(evaluator::cpu::InstructionSet set);

}  // namespace longrope::benchmarks
