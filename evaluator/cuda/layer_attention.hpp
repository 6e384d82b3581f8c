// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "evaluator/cuda/device_runtime.hpp"
#include "evaluator/cuda/memory_plan.hpp"
#include "evaluator/cuda/segment_attention.hpp"
#include "evaluator/device_ops.hpp"

namespace longrope::evaluator::cuda {

/// Keys and values of one layer on the device, and causal attention to them.
///
/// Keys and values lie head-major in groups of few KV heads, each group in memory of its own: an
/// attention call then spans fewer than 2^31 elements. A block of queries that begins at position p
/// sees the keys before p in segments of fixed lengths, unmasked, and those from p on in one causal
/// square; segments are merged by log-sum-exp in ascending order. Where segments end depends on p
/// alone, so neither the rows of a call nor the groups decide bits.
class LayerAttention {
public:
    LayerAttention(DeviceRuntime& runtime, SegmentAttention& attention, const TilePlan& tiles)
        : runtime_{runtime}, attention_{attention}, tiles_{tiles} {}

    /// Makes room for the keys and values of a layer; keeps it where it fits already.
    void begin(const AttentionShape& shape, std::int64_t positions,
               std::int64_t kv_heads_per_group);
    /// Rounds and stores. keys, values: float32 [rows, kv_heads * head_dim]
    void append(const DeviceMatrix& keys, const DeviceMatrix& values, std::int64_t first_position);
    /// queries: float32 [rows, heads * head_dim]; out: bfloat16 of that shape.
    /// @param first_position  a multiple of attention_rows
    void attend(const DeviceMatrix& queries, std::int64_t first_position, const DeviceMatrix& out);

private:
    struct Group {
        DeviceAllocation keys;  // bfloat16 [kv heads of the group, padded positions, head_dim]
        DeviceAllocation values;
    };
    struct Segment {
        std::int64_t first;
        std::int64_t keys;
        bool causal;
    };
    /// Work of one block and group, allocated with the groups.
    struct Work {
        DeviceAllocation queries;      // bfloat16 [block, heads * head_dim]
        DeviceAllocation out;          // bfloat16 [block, heads of a group * head_dim]
        DeviceAllocation merged;       // float32 of that shape
        DeviceAllocation log_sum_exp;  // float32 [heads of a group, block], of a segment
        DeviceAllocation before;       // of the segments so far
        DeviceAllocation after;
    };

    [[nodiscard]] std::vector<Segment> segments(std::int64_t first_position,
                                                std::int64_t block_rows) const;
    void attend_block(const DeviceMatrix& queries, std::int64_t first_position,
                      const DeviceMatrix& out);
    void attend_group(std::int64_t group, std::int64_t first_position, std::int64_t block_rows,
                      const DeviceMatrix& out);

    DeviceRuntime& runtime_;
    SegmentAttention& attention_;
    TilePlan tiles_;
    AttentionShape shape_;
    std::int64_t positions_ = 0;
    std::int64_t padded_positions_ = 0;
    std::int64_t kv_heads_per_group_ = 0;
    std::vector<Group> groups_;
    Work work_;
};

}  // namespace longrope::evaluator::cuda
