// SPDX-License-Identifier: Apache-2.0
#include "cli/batch_rounds.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

namespace longrope::cli {
namespace {

using Batches = std::vector<std::uint64_t>;

TEST_CASE("a batch that workers do not divide takes one round more") {
    const Batches batches{10, 4, 4};
    CHECK(count_rounds(batches, 1) == 18);
    CHECK(count_rounds(batches, 4) == 3 + 1 + 1);
    CHECK(count_rounds(batches, 1'000'000) == 3);
    CHECK(count_rounds({}, 4) == 0);
}

TEST_CASE("what is left of a stage are its last batches") {
    const Batches batches{10, 4, 4, 3};
    CHECK(batches_left(batches, 21) == batches);
    CHECK(batches_left(batches, 9) == Batches{2, 4, 3});
    CHECK(batches_left(batches, 3) == Batches{3});
    CHECK(batches_left(batches, 0).empty());
    CHECK(batches_left(batches, 25) == Batches{14, 4, 4, 3});
    for (std::uint64_t tasks = 0; tasks < 30; ++tasks) {
        const Batches left = batches_left(batches, tasks);
        INFO(tasks, " tasks");
        CHECK(std::accumulate(left.begin(), left.end(), std::uint64_t{0}) == tasks);
    }
}

}  // namespace
}  // namespace longrope::cli
