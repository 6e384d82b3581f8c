// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_tensors.hpp"

#include <fmt/format.h>

#include <initializer_list>
#include <string>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {
namespace {

/// Finds the tensors of one layer by the names of transformers.
class Layer {
public:
    Layer(const ModelFolder& model, std::uint32_t index)
        : model_{model},
          config_{model.config()},
          prefix_{fmt::format("model.layers.{}.", index)},
          query_size_{std::int64_t{config_.heads} * config_.head_dim},
          kv_size_{std::int64_t{config_.kv_heads} * config_.head_dim} {}

    [[nodiscard]] LayerTensors find() const {
        const std::int64_t hidden = config_.hidden_size;
        LayerTensors layer;
        layer.attention_norm = weight("input_layernorm", {hidden});
        find_attention(layer);
        layer.output = weight("self_attn.o_proj", {hidden, query_size_});
        layer.mlp_norm = weight("post_attention_layernorm", {hidden});
        find_gate_and_up(layer);
        layer.down = weight("mlp.down_proj", {hidden, config_.intermediate_size});
        return layer;
    }

private:
    [[nodiscard]] TensorView weight(const char* name,
                                    std::initializer_list<std::int64_t> shape) const {
        return model_.tensor(fmt::format("{}{}.weight", prefix_, name), shape);
    }
    [[nodiscard]] TensorView bias(const char* name, std::int64_t size) const {
        return model_.tensor(fmt::format("{}{}.bias", prefix_, name), {size});
    }

    void find_attention(LayerTensors& layer) const {
        const std::int64_t hidden = config_.hidden_size;
        if (config_.fused_projections) {
            const TensorView fused =
                weight("self_attn.qkv_proj", {query_size_ + 2 * kv_size_, hidden});
            layer.query = fused.rows(0, query_size_);
            layer.key = fused.rows(query_size_, kv_size_);
            layer.value = fused.rows(query_size_ + kv_size_, kv_size_);
        } else {
            layer.query = weight("self_attn.q_proj", {query_size_, hidden});
            layer.key = weight("self_attn.k_proj", {kv_size_, hidden});
            layer.value = weight("self_attn.v_proj", {kv_size_, hidden});
        }
        if (config_.query_key_value_bias) {
            layer.query_bias = bias("self_attn.q_proj", query_size_);
            layer.key_bias = bias("self_attn.k_proj", kv_size_);
            layer.value_bias = bias("self_attn.v_proj", kv_size_);
        }
        if (config_.output_bias) layer.output_bias = bias("self_attn.o_proj", hidden);
        if (config_.head_norms) {
            layer.query_norm = weight("self_attn.q_norm", {config_.head_dim});
            layer.key_norm = weight("self_attn.k_norm", {config_.head_dim});
        }
    }

    void find_gate_and_up(LayerTensors& layer) const {
        const std::int64_t hidden = config_.hidden_size;
        const std::int64_t inner = config_.intermediate_size;
        if (config_.fused_projections) {
            const TensorView fused = weight("mlp.gate_up_proj", {2 * inner, hidden});
            layer.gate = fused.rows(0, inner);
            layer.up = fused.rows(inner, inner);
        } else {
            layer.gate = weight("mlp.gate_proj", {inner, hidden});
            layer.up = weight("mlp.up_proj", {inner, hidden});
        }
    }

    const ModelFolder& model_;
    const ModelConfig& config_;
    std::string prefix_;
    std::int64_t query_size_;
    std::int64_t kv_size_;
};

}  // namespace

ModelTensors find_tensors(const ModelFolder& model) {
    const ModelConfig& config = model.config();
    const std::int64_t vocabulary = config.vocabulary;
    const std::int64_t hidden = config.hidden_size;
    ModelTensors tensors;
    tensors.embedding = model.tensor("model.embed_tokens.weight", {vocabulary, hidden});
    for (std::uint32_t i = 0; i < config.layers; ++i) {
        tensors.layers.push_back(Layer{model, i}.find());
    }
    const std::string beyond = fmt::format("model.layers.{}.input_layernorm.weight", config.layers);
    if (model.has_tensor(beyond)) {
        throw EvaluatorError{fmt::format(
            "{}: num_hidden_layers = {}, but the weights have {}: expected the config.json that "
            "belongs to them",
            (model.folder() / "config.json").string(), config.layers, beyond)};
    }
    tensors.final_norm = model.tensor("model.norm.weight", {hidden});
    tensors.head = config.tied_embeddings ? tensors.embedding
                                          : model.tensor("lm_head.weight", {vocabulary, hidden});
    return tensors;
}

}  // namespace longrope::evaluator
