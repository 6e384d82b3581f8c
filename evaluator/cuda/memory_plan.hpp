// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "evaluator/model/model_config.hpp"

namespace longrope::evaluator::cuda {

/// How the work of a document is cut into calls. Decides bits (another cut sums in another order,
/// and cublasLt may take another kernel), so it is part of the numerics class.
struct TilePlan {
    /// Rows of one DeviceOps call, hence of every matrix product; a multiple of attention_rows.
    std::int64_t chunk_rows = 8192;
    /// Rows of a query block and side of the causal square; a multiple of 128.
    std::int64_t attention_rows = 8192;
    /// Keys of a full segment, a multiple of attention_rows; what is left before the square is cut
    /// into segments of attention_rows.
    std::int64_t segment_keys = 65536;
    /// KV heads of one attention call, at most: keys and values of one call stay below 2^31
    /// elements.
    std::int64_t kv_heads_per_group = 8;
    /// Rows and vocabulary entries of one tile of logits.
    std::int64_t loss_rows = 4096;
    std::int64_t vocabulary_tile = 8192;

    /// "chunk=8192,attention=8192x65536,group=8,logits=4096x8192"
    [[nodiscard]] std::string text() const;
};

/// Queries, keys and values are padded to this many rows, which cuDNN's tiles divide.
inline constexpr std::int64_t attention_padding = 128;

/// What a device has, in bytes.
struct DeviceMemory {
    std::uint64_t total = 0;
};

enum class WeightPlacement : std::uint8_t {
    resident,  ///< all layers on the device
    streamed,  ///< all layers in page-locked host memory, two on the device: one computes, one
               ///< comes
};

/// Every byte that the CUDA backend takes for documents of up to `positions`, known before anything
/// runs. Pure values.
struct MemoryPlan {
    std::uint64_t positions = 0;
    TilePlan tiles;
    WeightPlacement placement = WeightPlacement::resident;
    std::uint64_t layer_bytes = 0;  ///< the matrices of one layer, bfloat16
    std::int64_t kv_heads_per_group = 0;

    // On the device.
    std::uint64_t matrix_bytes = 0;     ///< all layers' matrices, or two layers' where streamed
    std::uint64_t table_bytes = 0;      ///< embedding and head, bfloat16; once where they are tied
    std::uint64_t vector_bytes = 0;     ///< norms and biases, float32
    std::uint64_t hidden_bytes = 0;     ///< residual stream, losses, tokens
    std::uint64_t key_value_bytes = 0;  ///< of one layer, bfloat16
    std::uint64_t rotary_bytes = 0;     ///< cosines and sines, float32
    std::uint64_t chunk_bytes = 0;      ///< inputs and outputs of a chunk's products
    std::uint64_t attention_bytes = 0;  ///< queries and unmerged outputs of a block
    std::uint64_t logits_bytes = 0;     ///< one tile and the running sums of its rows
    std::uint64_t reserved_bytes = 0;   ///< CUDA's context, modules, the libraries' workspaces

    std::uint64_t pinned_host_bytes = 0;  ///< 0 where the weights are resident
    std::uint64_t had_bytes = 0;          ///< DeviceMemory::total

    [[nodiscard]] std::uint64_t document_bytes() const noexcept {
        return hidden_bytes + key_value_bytes + rotary_bytes;
    }
    [[nodiscard]] std::uint64_t device_bytes() const noexcept {
        return matrix_bytes + table_bytes + vector_bytes + document_bytes() + chunk_bytes +
               attention_bytes + logits_bytes + reserved_bytes;
    }
    [[nodiscard]] bool fits() const noexcept { return device_bytes() <= had_bytes; }
};

/// Weights are resident where that fits, else streamed; what does not fit even so is still
/// returned, with fits() false and the bytes of the streamed plan.
/// @param positions  of the longest document, at least 2
[[nodiscard]] MemoryPlan plan_memory(const ModelConfig& config, std::uint64_t positions,
                                     const DeviceMemory& memory, const TilePlan& tiles = {});

/// @throws EvaluatorError unless cuDNN's attention serves the model's heads: a multiple of 8
///         components, at most 256 (128 on devices before sm_90, which it says itself)
void require_served_heads(const ModelConfig& config);

/// @throws EvaluatorError with the bytes needed, part by part, and had, unless the plan fits
void require_fit(const MemoryPlan& plan);

}  // namespace longrope::evaluator::cuda
