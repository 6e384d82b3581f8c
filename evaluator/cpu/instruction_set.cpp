// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/instruction_set.hpp"

#include <fmt/format.h>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cpu {

const char* instruction_set_name(InstructionSet set) noexcept {
    return kernels_of(set).name;
}

InstructionSet detect_instruction_set() noexcept {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx2 && avx512) return InstructionSet::avx512;
    return avx2 ? InstructionSet::avx2 : InstructionSet::baseline;
}

InstructionSet choose_instruction_set(const std::string& setting) {
    const InstructionSet widest = detect_instruction_set();
    if (setting == "auto") return widest;
    for (const InstructionSet set :
         {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
        if (setting != instruction_set_name(set)) continue;
        if (set <= widest) return set;
        throw EvaluatorError{fmt::format(
            "isa = \"{}\" was asked for, but this CPU has no more than {}: use \"auto\" or an "
            "instruction set that every machine of the run has",
            setting, instruction_set_name(widest))};
    }
    throw EvaluatorError{fmt::format(
        "isa = \"{}\" is unknown: use \"auto\", \"baseline\", \"avx2\" or \"avx512\"", setting)};
}

void require_precision(InstructionSet set, Precision precision) {
    __builtin_cpu_init();
    const bool avx512 = set == InstructionSet::avx512;
    if (precision != Precision::bf16 || (avx512 && __builtin_cpu_supports("avx512bf16"))) return;
    throw EvaluatorError{fmt::format(
        "precision = \"bf16\" needs AVX512_BF16, but the instruction set is {}{}: use precision = "
        "\"f32\"",
        instruction_set_name(set), avx512 ? " on a CPU without AVX512_BF16" : "")};
}

const KernelSet& kernels_of(InstructionSet set, Precision precision) noexcept {
    if (precision == Precision::bf16 && set == InstructionSet::avx512) {
        return avx512_bf16_kernels();
    }
    switch (set) {
        case InstructionSet::avx512:
            return avx512_kernels();
        case InstructionSet::avx2:
            return avx2_kernels();
        case InstructionSet::baseline:
            break;
    }
    return baseline_kernels();
}

}  // namespace longrope::evaluator::cpu
