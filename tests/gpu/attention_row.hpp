// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "evaluator/device_ops.hpp"

namespace longrope::tests {

/// One row of attention at the end of a long document, checked against the definition.
struct AttentionRow {
    std::int64_t positions = 0;
    std::int64_t heads = 8;
    std::int64_t kv_heads = 2;
    std::int64_t head_dim = 128;
    /// Whether the backend rounds operands to bfloat16, or computes in float32.
    bool rounded = true;
};

/// What came out, over the components of the last row.
struct AttentionRowResult {
    double largest_error = 0.0;  ///< as a share of sum_k p_k |v_k|
    double least_needle = 0.0;   ///< smallest weight of a needle, the same for any backend
    int needles = 0;
};

/// Fills keys and values of `shape.positions` rows through the backend's own operations, and lets
/// it attend from the last row. All keys repel the query but a few needles, at the document's ends,
/// at its middle and around multiples of the segments' lengths: a segment that is lost, doubled or
/// read from the wrong place shows, although two million keys are summed. Positions turn the
/// vectors a little, so that the rotary table is read to its end.
[[nodiscard]] AttentionRowResult check_attention_row(evaluator::DeviceOps& ops,
                                                     const AttentionRow& shape);

}  // namespace longrope::tests
