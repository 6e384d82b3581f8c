// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "evaluator/device_ops.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/model/model_tensors.hpp"
#include "evaluator/rotary_table.hpp"
#include "evaluator/weight_residency.hpp"

namespace longrope::evaluator {

/// The forward pass of a decoder over one document, written once over DeviceOps for Llama and the
/// architectures that differ from it by biases, by norms of heads or in how weights are stored.
///
/// Layer-major: for each layer, pass 1 walks all chunks of rows and leaves the layer's keys and
/// values with the device; pass 2 walks them again with attention and the MLP. Device memory: the
/// residual stream of one document, keys and values of one layer, the work of one chunk, the
/// rotary table, the weights (streamed: those of one layer). Logits are reduced to losses where
/// they arise.
class Transformer {
public:
    /// Finds all weights, and prepares them unless they are streamed. `model` and `ops` must
    /// outlive the transformer.
    /// @param residency  streamed: for DeviceOps that work on host memory and give back at once
    ///                   what a Prepared held
    /// @throws EvaluatorError naming a tensor that is missing or misshapen
    Transformer(const ModelFolder& model, DeviceOps& ops,
                WeightResidency residency = WeightResidency::resident);

    /// Negative log-likelihood in nats of tokens 1..n-1 given those before them; values below 0
    /// (rounding) are clamped. May contain NaN or infinity: a result, not an error.
    /// @param tokens  shape [n], n >= 2, each in [0, vocabulary)
    /// @param rotary  at least n positions
    /// @returns       shape [n - 1]
    [[nodiscard]] std::vector<float> token_nll(std::span<const std::int32_t> tokens,
                                               const RotaryTable& rotary);

    /// Memory held by weights between documents.
    [[nodiscard]] std::uint64_t weight_bytes() const noexcept;

private:
    struct Layer {
        std::unique_ptr<Prepared> attention_norm;  // [hidden]
        std::unique_ptr<Prepared> query;           // [heads * head_dim, hidden]
        std::unique_ptr<Prepared> key_value;       // [2 * kv_heads * head_dim, hidden]
        std::unique_ptr<Prepared> output;          // [hidden, heads * head_dim]
        std::unique_ptr<Prepared> mlp_norm;        // [hidden]
        std::unique_ptr<Prepared> gate_up;         // [2 * intermediate, hidden]
        std::unique_ptr<Prepared> down;            // [hidden, intermediate]

        // Null where the architecture has none.
        std::unique_ptr<Prepared> query_bias;   // [heads * head_dim]
        std::unique_ptr<Prepared> key_bias;     // [kv_heads * head_dim]
        std::unique_ptr<Prepared> value_bias;   // [kv_heads * head_dim]
        std::unique_ptr<Prepared> output_bias;  // [hidden]
        std::unique_ptr<Prepared> query_norm;   // [head_dim]
        std::unique_ptr<Prepared> key_norm;     // [head_dim]
    };
    struct Workspace;
    struct Chunk {
        std::int64_t first;  // position of the first row
        std::int64_t rows;
    };

    [[nodiscard]] Layer prepare_layer(const LayerTensors& tensors) const;
    [[nodiscard]] std::unique_ptr<Prepared> prepare_head() const;
    /// Chunks of the first `positions` rows.
    [[nodiscard]] std::vector<Chunk> chunks(std::int64_t positions) const;
    void store_keys_and_values(const Layer& layer, const Chunk& chunk, const Prepared& rotary,
                               const Workspace& work);
    /// What lies between a projection to heads and attention: bias, norm and rotation, in place.
    void finish_heads(const DeviceMatrix& heads, const Prepared* bias, const Prepared* norm,
                      const Chunk& chunk, const Prepared& rotary);
    void attend_and_mix(const Layer& layer, const Chunk& chunk, const Prepared& rotary,
                        const Workspace& work);
    /// Both passes of a layer over the document.
    void run_layer(const Layer& layer, std::int64_t positions, const Prepared& rotary,
                   const Workspace& work);

    DeviceOps& ops_;
    const ModelFolder& model_;
    ModelConfig config_;
    ModelTensors tensors_;
    WeightResidency residency_;
    std::unique_ptr<Prepared> embedding_;
    std::vector<Layer> layers_;  // empty if weights are streamed
    std::unique_ptr<Prepared> final_norm_;
    std::unique_ptr<Prepared> head_;  // null if weights are streamed
};

}  // namespace longrope::evaluator
