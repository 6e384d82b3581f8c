// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace longrope::evaluator::cpu {

/// Keys and values of one key/value head of one layer, packed for the attention kernel.
struct PackedHead {
    /// [panels][head_dim / depth][key_panel][depth]: the keys of a panel lie side by side,
    /// component by component, or pair by pair of them.
    void* keys = nullptr;
    /// [value_panels][positions / depth][value_panel][depth]: components of a value, padded with
    /// zeros; positions are rounded up to whole pairs, and a last one alone has zeros beside it.
    void* values = nullptr;
    std::int64_t value_panel_stride = 0;  ///< elements from one value panel to the next
};

/// Queries of one key/value head's group, at consecutive positions, against the keys before them.
struct AttentionTask {
    const float* queries = nullptr;  ///< [rows, query_stride], the group's first head first
    std::int64_t query_stride = 0;   ///< floats from one position to the next
    std::int64_t rows = 0;           ///< positions, at most attention_rows
    std::int64_t group = 0;          ///< query heads that share the keys, side by side
    std::int64_t head_dim = 0;
    std::int64_t first_position = 0;  ///< of the first row; it sees keys 0..first_position
    float score_scale = 0.0F;         ///< 1 / sqrt(head_dim) * log2(e)
    PackedHead head;
    float* out = nullptr;  ///< [rows, out_stride], laid out like the queries
    std::int64_t out_stride = 0;
    float* scratch = nullptr;  ///< attention_scratch_floats(group, head_dim), 64-aligned
};

/// Running log-sum-exp of one row: sum = Σ exp(x - max).
struct LogSumExp {
    float max;
    float sum;
};

/// Positions of one attention task.
inline constexpr std::int64_t attention_rows = 96;

/// The kernels of one instruction set. Rows are independent of each other and of how many are given
/// to a call, so bits depend on the instruction set alone.
struct KernelSet {
    const char* name;
    std::int64_t key_panel;      ///< keys side by side in PackedHead::keys
    std::int64_t value_panel;    ///< components side by side in PackedHead::values
    std::int64_t depth;          ///< elements that one step of a product sums over: 1, or a pair
    std::int64_t element_bytes;  ///< of packed keys and values: float32 or bfloat16

    std::int64_t (*attention_scratch_floats)(std::int64_t group, std::int64_t head_dim);
    void (*attend)(const AttentionTask& task);
    /// Packs `rows` keys and values that start at `position` into `head`.
    void (*pack)(const float* keys, const float* values, std::int64_t stride, std::int64_t rows,
                 std::int64_t position, std::int64_t head_dim, const PackedHead& head);
    /// out[columns] = in / sqrt(mean(in²) + epsilon) * weight; out may be in
    void (*rms_norm)(const float* in, const float* weight, std::int64_t columns, float epsilon,
                     float* out);
    /// row[columns] += bias
    void (*add)(float* row, const float* bias, std::int64_t columns);
    /// Rotates `heads` heads of `head_dim` in place; cosine and sine: [pairs]
    void (*rotate)(float* row, std::int64_t heads, std::int64_t head_dim, const float* cosine,
                   const float* sine, std::int64_t pairs);
    /// out = gate / (1 + exp(-gate)) * up
    void (*swiglu)(const float* gate, const float* up, std::int64_t columns, float* out);
    /// Adds `columns` logits to a row's running log-sum-exp.
    LogSumExp (*add_logits)(const float* logits, std::int64_t columns, LogSumExp running);
    /// Rounds to the nearest bfloat16, ties to even.
    void (*to_bfloat16)(const float* in, std::int64_t count, std::uint16_t* out);
    /// out[i] = 2^in[i] for in[i] <= 0: the exponential inside attention, exposed for its test.
    void (*exp2)(const float* in, std::int64_t count, float* out);
};

[[nodiscard]] const KernelSet& baseline_kernels() noexcept;
[[nodiscard]] const KernelSet& avx2_kernels() noexcept;
[[nodiscard]] const KernelSet& avx512_kernels() noexcept;
/// As avx512, but attention multiplies bfloat16: for CPUs with AVX512_BF16, and Precision::bf16.
[[nodiscard]] const KernelSet& avx512_bf16_kernels() noexcept;

}  // namespace longrope::evaluator::cpu
