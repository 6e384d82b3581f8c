// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/layer_attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "evaluator/cuda/device_matrix.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

std::int64_t padded(std::int64_t rows) {
    return (rows + attention_padding - 1) / attention_padding * attention_padding;
}

}  // namespace

void LayerAttention::begin(const AttentionShape& shape, std::int64_t positions,
                           std::int64_t kv_heads_per_group) {
    const bool same = shape.heads == shape_.heads && shape.kv_heads == shape_.kv_heads &&
                      shape.head_dim == shape_.head_dim && positions == positions_ &&
                      kv_heads_per_group == kv_heads_per_group_;
    if (same) return;
    groups_.clear();
    work_ = {};
    shape_ = shape;
    positions_ = positions;
    padded_positions_ = padded(positions);
    kv_heads_per_group_ = kv_heads_per_group;
    const auto allocate = [this](std::int64_t elements, std::size_t size, const char* purpose) {
        DeviceAllocation memory{runtime_, static_cast<std::uint64_t>(elements) * size, purpose};
        // The rows beyond the document stay zero: a masked key's weight is 0, and 0 * NaN is NaN.
        runtime_.fill_zero(memory.data(), memory.bytes(), runtime_.compute_stream());
        return memory;
    };
    const std::int64_t group_elements = kv_heads_per_group * padded_positions_ * shape.head_dim;
    for (std::int64_t first = 0; first < shape.kv_heads; first += kv_heads_per_group) {
        Group& group = groups_.emplace_back();
        group.keys = allocate(group_elements, sizeof(Bfloat16), "keys of a layer");
        group.values = allocate(group_elements, sizeof(Bfloat16), "values of a layer");
    }
    const std::int64_t rows = std::min(tiles_.attention_rows, padded_positions_);
    const std::int64_t group_heads = kv_heads_per_group * (shape.heads / shape.kv_heads);
    const char* purpose = "a block of attention";
    work_.queries = allocate(rows * shape.heads * shape.head_dim, sizeof(Bfloat16), purpose);
    work_.out = allocate(rows * group_heads * shape.head_dim, sizeof(Bfloat16), purpose);
    work_.merged = allocate(rows * group_heads * shape.head_dim, sizeof(float), purpose);
    for (DeviceAllocation* sums : {&work_.log_sum_exp, &work_.before, &work_.after}) {
        *sums = allocate(rows * group_heads, sizeof(float), purpose);
    }
}

void LayerAttention::append(const DeviceMatrix& keys, const DeviceMatrix& values,
                            std::int64_t first_position) {
    const std::int64_t columns = kv_heads_per_group_ * shape_.head_dim;
    const HeadStrides strides{.row = shape_.head_dim, .head = padded_positions_ * shape_.head_dim};
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        const std::int64_t first = static_cast<std::int64_t>(g) * columns;
        const auto store = [&](const DeviceMatrix& from, const DeviceAllocation& to) {
            split_heads(floats(from.column_range(first, columns)), shape_.head_dim,
                        to.as<Bfloat16>() + first_position * shape_.head_dim, strides,
                        runtime_.compute_stream());
        };
        store(keys, groups_[g].keys);
        store(values, groups_[g].values);
    }
}

void LayerAttention::attend(const DeviceMatrix& queries, std::int64_t first_position,
                            const DeviceMatrix& out) {
    assert(first_position % tiles_.attention_rows == 0);
    for (std::int64_t row = 0; row < queries.rows; row += tiles_.attention_rows) {
        const std::int64_t rows = std::min(tiles_.attention_rows, queries.rows - row);
        attend_block(queries.row_range(row, rows), first_position + row, out.row_range(row, rows));
    }
}

std::vector<LayerAttention::Segment> LayerAttention::segments(std::int64_t first_position,
                                                              std::int64_t block_rows) const {
    std::vector<Segment> result;
    for (std::int64_t at = 0; at < first_position;) {
        const std::int64_t left = first_position - at;
        const std::int64_t keys =
            left >= tiles_.segment_keys ? tiles_.segment_keys : tiles_.attention_rows;
        result.push_back({at, keys, false});
        at += keys;
    }
    result.push_back({first_position, block_rows, true});
    return result;
}

void LayerAttention::attend_block(const DeviceMatrix& queries, std::int64_t first_position,
                                  const DeviceMatrix& out) {
    const std::int64_t width = shape_.heads * shape_.head_dim;
    split_heads(floats(queries), shape_.head_dim, work_.queries.as<Bfloat16>(),
                {.row = width, .head = shape_.head_dim}, runtime_.compute_stream());
    const std::int64_t group_width = width / static_cast<std::int64_t>(groups_.size());
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        const auto group = static_cast<std::int64_t>(g);
        attend_group(group, first_position, padded(queries.rows),
                     out.column_range(group * group_width, group_width));
    }
}

void LayerAttention::attend_group(std::int64_t group, std::int64_t first_position,
                                  std::int64_t block_rows, const DeviceMatrix& out) {
    const Group& held = groups_[static_cast<std::size_t>(group)];
    const std::int64_t width = out.columns;
    AttentionSegment call{.query_rows = block_rows,
                          .heads = width / shape_.head_dim,
                          .kv_heads = kv_heads_per_group_,
                          .head_dim = shape_.head_dim,
                          .scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)),
                          .query_row_stride = shape_.heads * shape_.head_dim,
                          .query_head_stride = shape_.head_dim,
                          .key_row_stride = shape_.head_dim,
                          .key_head_stride = padded_positions_ * shape_.head_dim,
                          .out_row_stride = width,
                          .out_head_stride = shape_.head_dim};
    const Bfloat16* queries = work_.queries.as<Bfloat16>() + group * width;
    const Matrix<const Bfloat16> segment_out{work_.out.as<Bfloat16>(), out.rows, width, width};
    float* before = nullptr;
    float* after = work_.after.as<float>();
    for (const Segment& segment : segments(first_position, block_rows)) {
        call.keys = segment.keys;
        call.causal = segment.causal;
        const std::int64_t offset = segment.first * shape_.head_dim;
        attention_.attend(call, queries, held.keys.as<Bfloat16>() + offset,
                          held.values.as<Bfloat16>() + offset, work_.out.data(),
                          work_.log_sum_exp.as<float>(), runtime_.compute_stream());
        // The causal square is the last; rows of padding stay behind.
        merge_segment(segment_out, work_.log_sum_exp.as<float>(), shape_.head_dim,
                      {.values = work_.merged.as<float>(),
                       .log_sum_exp = before,
                       .next_log_sum_exp = after,
                       .head_stride = block_rows},
                      segment.causal ? bfloat16s(out) : Matrix<Bfloat16>{},
                      runtime_.compute_stream());
        before = after;
        after =
            after == work_.after.as<float>() ? work_.before.as<float>() : work_.after.as<float>();
    }
}

}  // namespace longrope::evaluator::cuda
