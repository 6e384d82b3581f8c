// SPDX-License-Identifier: Apache-2.0
#include "cli/search_check.hpp"

#include <doctest/doctest.h>

namespace longrope::cli {
namespace {

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30U;

TEST_CASE("evaluators that a machine cannot hold are told with what helps") {
    const EvaluatorMemory resident{.bytes_per_evaluator = 3 * gibibyte};
    const EvaluatorMemory streamed{.bytes_per_evaluator = gibibyte, .shared_bytes = 2 * gibibyte};
    CHECK(memory_shortage(8, resident, 24 * gibibyte).empty());
    CHECK(memory_shortage(9, resident, 24 * gibibyte) ==
          "  9 evaluators of 3.0 GiB, but this machine has 24.0 GiB: run fewer ranks or set "
          "evaluator.weights = \"streamed\".\n");
    CHECK(memory_shortage(1, resident, 2 * gibibyte) ==
          "  1 evaluator of 3.0 GiB, but this machine has 2.0 GiB: set evaluator.weights = "
          "\"streamed\".\n");
    CHECK(memory_shortage(22, streamed, 24 * gibibyte).empty());
    CHECK(memory_shortage(23, streamed, 24 * gibibyte) ==
          "  23 evaluators of 1.0 GiB and 2.0 GiB of the model's files, but this machine has 24.0 "
          "GiB: run fewer ranks.\n");
    CHECK(memory_shortage(1, streamed, 2 * gibibyte) ==
          "  1 evaluator of 1.0 GiB and 2.0 GiB of the model's files, but this machine has 2.0 "
          "GiB: take one with more.\n");
}

}  // namespace
}  // namespace longrope::cli
