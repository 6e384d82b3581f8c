// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "evaluator/model/model_folder.hpp"
#include "evaluator/model/tensor_view.hpp"

namespace longrope::evaluator {

/// The weights of one decoder layer, as if no projection were fused with another.
struct LayerTensors {
    TensorView attention_norm;  ///< [hidden]
    TensorView query;           ///< [heads * head_dim, hidden]
    TensorView key;             ///< [kv_heads * head_dim, hidden]
    TensorView value;           ///< [kv_heads * head_dim, hidden]
    TensorView output;          ///< [hidden, heads * head_dim]
    TensorView mlp_norm;        ///< [hidden]
    TensorView gate;            ///< [intermediate, hidden]
    TensorView up;              ///< [intermediate, hidden]
    TensorView down;            ///< [hidden, intermediate]

    // What only some architectures have.
    std::optional<TensorView> query_bias;   ///< [heads * head_dim]
    std::optional<TensorView> key_bias;     ///< [kv_heads * head_dim]
    std::optional<TensorView> value_bias;   ///< [kv_heads * head_dim]
    std::optional<TensorView> output_bias;  ///< [hidden]
    std::optional<TensorView> query_norm;   ///< [head_dim], of every head
    std::optional<TensorView> key_norm;     ///< [head_dim], of every head
};

/// The weights of a Llama-family decoder, in the folder's memory map.
struct ModelTensors {
    TensorView embedding;  ///< [vocabulary, hidden]
    std::vector<LayerTensors> layers;
    TensorView final_norm;  ///< [hidden]
    TensorView head;        ///< [vocabulary, hidden]; the embedding where they are tied
};

/// Finds every tensor that config.json calls for; reads no weights, but a projection's that is
/// stored beside the embedding it is tied to.
/// @throws EvaluatorError naming a tensor that is missing, misshapen, or left over
ModelTensors find_tensors(const ModelFolder& model);

}  // namespace longrope::evaluator
