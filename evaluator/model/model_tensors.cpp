// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_tensors.hpp"

#include <fmt/format.h>

#include <initializer_list>

namespace longrope::evaluator {
namespace {

LayerTensors find_layer(const ModelFolder& model, std::uint32_t index) {
    const ModelConfig& config = model.config();
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t inner = config.intermediate_size;
    const std::int64_t query_size = std::int64_t{config.heads} * config.head_dim;
    const std::int64_t kv_size = std::int64_t{config.kv_heads} * config.head_dim;
    const auto tensor = [&](const char* name, std::initializer_list<std::int64_t> shape) {
        return model.tensor(fmt::format("model.layers.{}.{}.weight", index, name), shape);
    };
    return LayerTensors{
        .attention_norm = tensor("input_layernorm", {hidden}),
        .query = tensor("self_attn.q_proj", {query_size, hidden}),
        .key = tensor("self_attn.k_proj", {kv_size, hidden}),
        .value = tensor("self_attn.v_proj", {kv_size, hidden}),
        .output = tensor("self_attn.o_proj", {hidden, query_size}),
        .mlp_norm = tensor("post_attention_layernorm", {hidden}),
        .gate = tensor("mlp.gate_proj", {inner, hidden}),
        .up = tensor("mlp.up_proj", {inner, hidden}),
        .down = tensor("mlp.down_proj", {hidden, inner}),
    };
}

}  // namespace

ModelTensors find_tensors(const ModelFolder& model) {
    const ModelConfig& config = model.config();
    const std::int64_t vocabulary = config.vocabulary;
    const std::int64_t hidden = config.hidden_size;
    ModelTensors tensors;
    tensors.embedding = model.tensor("model.embed_tokens.weight", {vocabulary, hidden});
    for (std::uint32_t i = 0; i < config.layers; ++i) {
        tensors.layers.push_back(find_layer(model, i));
    }
    tensors.final_norm = model.tensor("model.norm.weight", {hidden});
    tensors.head = config.tied_embeddings ? tensors.embedding
                                          : model.tensor("lm_head.weight", {vocabulary, hidden});
    return tensors;
}

}  // namespace longrope::evaluator
