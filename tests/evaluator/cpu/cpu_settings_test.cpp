// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "evaluator/cpu/cpu_ops.hpp"
#include "evaluator/evaluator.hpp"
#include "tests/evaluator/backend_runs.hpp"

namespace longrope::evaluator::cpu {
namespace {

TEST_CASE("an instruction set is chosen by name, or refused with what this CPU has") {
    const InstructionSet widest = detect_instruction_set();
    CHECK(choose_instruction_set("auto") == widest);
    CHECK(choose_instruction_set("baseline") == InstructionSet::baseline);
    CHECK_THROWS_WITH_AS(static_cast<void>(choose_instruction_set("sse9")),
                         doctest::Contains("\"auto\", \"baseline\", \"avx2\" or \"avx512\""),
                         EvaluatorError);
    for (const InstructionSet set : {InstructionSet::avx2, InstructionSet::avx512}) {
        const std::string name = instruction_set_name(set);
        if (set <= widest) {
            CHECK(choose_instruction_set(name) == set);
            continue;
        }
        CHECK_THROWS_WITH_AS(static_cast<void>(choose_instruction_set(name)),
                             doctest::Contains(instruction_set_name(widest)), EvaluatorError);
    }
}

TEST_CASE("a process that uses oneDNN with one instruction set refuses another") {
    const auto ops = tests::cpu_ops();
    const tests::TemporaryFolder folder;
    tests::RandomModel{}.write(folder);
    const ModelFolder model{folder.path()};
    const Transformer transformer{model, *ops};  // oneDNN's choice is made
    const InstructionSet other =
        choose_instruction_set(tests::tested_isa()) == InstructionSet::baseline
            ? InstructionSet::avx2
            : InstructionSet::baseline;
    if (other > detect_instruction_set()) return;
    CHECK_THROWS_WITH_AS(static_cast<void>(make_cpu_ops({.instruction_set = other})),
                         doctest::Contains("one instruction set per process"), EvaluatorError);
}

}  // namespace
}  // namespace longrope::evaluator::cpu
