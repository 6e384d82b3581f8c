// SPDX-License-Identifier: Apache-2.0
#include "cli/search_check.hpp"

#include <doctest/doctest.h>

namespace longrope::cli {
namespace {

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30U;

TEST_CASE("evaluators that a machine cannot hold are told with what helps") {
    CHECK(memory_shortage(8, 3 * gibibyte, 24 * gibibyte, false).empty());
    CHECK(memory_shortage(9, 3 * gibibyte, 24 * gibibyte, false) ==
          "  9 evaluators of 3.0 GiB, but this machine has 24.0 GiB: run fewer ranks or set "
          "evaluator.weights = \"streamed\".\n");
    CHECK(memory_shortage(9, 3 * gibibyte, 24 * gibibyte, true) ==
          "  9 evaluators of 3.0 GiB, but this machine has 24.0 GiB: run fewer ranks.\n");
    CHECK(memory_shortage(1, 25 * gibibyte, 24 * gibibyte, false) ==
          "  1 evaluator of 25.0 GiB, but this machine has 24.0 GiB: set evaluator.weights = "
          "\"streamed\".\n");
    CHECK(memory_shortage(1, 25 * gibibyte, 24 * gibibyte, true) ==
          "  1 evaluator of 25.0 GiB, but this machine has 24.0 GiB: take one with more.\n");
}

}  // namespace
}  // namespace longrope::cli
