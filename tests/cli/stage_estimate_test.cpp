// SPDX-License-Identifier: Apache-2.0
#include "cli/stage_estimate.hpp"

#include <doctest/doctest.h>

namespace longrope::cli {
namespace {

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30U;

MemoryEstimate estimate_of(evaluator::WeightResidency weights) {
    MemoryEstimate estimate;
    estimate.weights = weights;
    estimate.resident = {.bytes_per_evaluator = 3 * gibibyte};
    estimate.streamed = {.bytes_per_evaluator = gibibyte, .shared_bytes = 2 * gibibyte};
    return estimate;
}

TEST_CASE("resident evaluators that a machine cannot hold are told with what helps") {
    const MemoryEstimate resident = estimate_of(evaluator::WeightResidency::resident);
    CHECK(memory_shortage(8, resident, {24 * gibibyte}).empty());
    CHECK(memory_shortage(9, resident, {24 * gibibyte}) ==
          "  9 evaluators of 3.0 GiB, but this machine has 24.0 GiB: run fewer ranks or set "
          "evaluator.weights = \"streamed\".\n");
    // Streamed, a single one and the file take as much.
    CHECK(memory_shortage(1, resident, {2 * gibibyte}) ==
          "  1 evaluator of 3.0 GiB, but this machine has 2.0 GiB: take one with more.\n");
}

TEST_CASE("streamed evaluators without room are told apart from files without room") {
    MemoryEstimate streamed = estimate_of(evaluator::WeightResidency::streamed);
    CHECK(memory_shortage(22, streamed, {24 * gibibyte}).empty());
    CHECK(memory_shortage(25, streamed, {24 * gibibyte}) ==
          "  25 evaluators of 1.0 GiB, but this machine has 24.0 GiB: run fewer ranks.\n");
    CHECK(memory_shortage(23, streamed, {24 * gibibyte}) ==
          "  Beside 23 evaluators of 1.0 GiB, the 24.0 GiB of this machine have no room for 2.0 "
          "GiB of the model's files, which are then read again for each document: run fewer "
          "ranks.\n");
    streamed.streamed.shared_bytes = 5 * gibibyte;  // as a file in float32
    CHECK(memory_shortage(1, streamed, {5 * gibibyte}) ==
          "  Beside 1 evaluator of 1.0 GiB, the 5.0 GiB of this machine have no room for 5.0 GiB "
          "of the model's files, which are then read again for each document: set "
          "evaluator.weights = \"resident\".\n");
}

TEST_CASE("evaluators that the memory limit of a job cannot hold are told that it is the limit") {
    const MemoryRoom limit{24 * gibibyte, true};
    CHECK(memory_shortage(9, estimate_of(evaluator::WeightResidency::resident), limit) ==
          "  9 evaluators of 3.0 GiB, but this job's memory limit (of its control group) is 24.0 "
          "GiB: run fewer ranks or set evaluator.weights = \"streamed\".\n");
    CHECK(memory_shortage(1, estimate_of(evaluator::WeightResidency::resident),
                          {2 * gibibyte, true}) ==
          "  1 evaluator of 3.0 GiB, but this job's memory limit (of its control group) is 2.0 "
          "GiB: ask for more.\n");
    CHECK(memory_shortage(23, estimate_of(evaluator::WeightResidency::streamed), limit) ==
          "  Beside 23 evaluators of 1.0 GiB, the 24.0 GiB of this job's memory limit (of its "
          "control group) have no room for 2.0 GiB of the model's files, which are then read again "
          "for each document: run fewer ranks.\n");
}

TEST_CASE("nothing is said of a machine whose memory is unknown") {
    CHECK(memory_shortage(9, estimate_of(evaluator::WeightResidency::resident), {}).empty());
}

}  // namespace
}  // namespace longrope::cli
