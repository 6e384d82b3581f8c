// SPDX-License-Identifier: Apache-2.0
// The check of a long row of attention itself, on backends that need no GPU.
#include <doctest/doctest.h>

#include "evaluator/reference/reference_ops.hpp"
#include "tests/gpu/attention_row.hpp"
#include "tests/gpu/gpu_limits.hpp"

using namespace longrope::tests;

TEST_CASE("the check of a row of attention passes what the reference computes") {
    for (const std::int64_t positions : {40, 700}) {
        INFO(positions, " positions");
        const auto ops =
            longrope::evaluator::reference::make_reference_ops(longrope::evaluator::Precision::f32);
        const AttentionRowResult row = check_attention_row(
            *ops,
            {.positions = positions, .heads = 4, .kv_heads = 2, .head_dim = 128, .rounded = false});
        CHECK(row.needles == 4);
        CHECK(row.largest_error < 1e-4);
        // Losing or doubling any needle would be several times the error that a GPU is allowed.
        CHECK(row.least_needle > 3.0 * attention_row_tolerance);
    }
}
