// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {
namespace {

/// Gives tensors of a model by name and remembers which.
class Tensors {
public:
    explicit Tensors(const ModelFolder& model) : model_{model} {}

    TensorView take(const std::string& name, std::initializer_list<std::int64_t> shape) {
        taken_.insert(name);
        return model_.tensor(name, shape);
    }

    /// Refuses weights that take no part in the forward pass but belong to a layer or the
    /// vocabulary projection: biases and norms without which it would be another function.
    void require_all_taken() const {
        for (const std::string& name : model_.tensor_names()) {
            const std::string_view view{name};
            const bool counts = view.starts_with("model.") || view.starts_with("lm_head.");
            // Older checkpoints store frequencies or angles, which follow from config.json.
            const bool follows = view.find(".rotary_emb.") != std::string_view::npos;
            if (!counts || follows || taken_.contains(name)) continue;
            throw EvaluatorError{fmt::format(
                "{}: tensor {} takes no part in a {} by its config.json, expected the config.json "
                "that belongs to the weights, or weights without it",
                model_.folder().string(), name, model_.config().architecture)};
        }
    }

private:
    const ModelFolder& model_;
    std::set<std::string> taken_;
};

/// Finds the tensors of one layer by the names of transformers.
class Layer {
public:
    Layer(Tensors& tensors, const ModelConfig& config, std::uint32_t index)
        : tensors_{tensors},
          config_{config},
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
        return tensors_.take(fmt::format("{}{}.weight", prefix_, name), shape);
    }
    [[nodiscard]] TensorView bias(const char* name, std::int64_t size) const {
        return tensors_.take(fmt::format("{}{}.bias", prefix_, name), {size});
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

    Tensors& tensors_;
    const ModelConfig& config_;
    std::string prefix_;
    std::int64_t query_size_;
    std::int64_t kv_size_;
};

/// The vocabulary projection. transformers 5 ties it to the embedding only where a stored one does
/// not differ, and version 4 always.
TensorView find_head(Tensors& tensors, const ModelFolder& model, const TensorView& embedding) {
    constexpr const char* name = "lm_head.weight";
    const ModelConfig& config = model.config();
    if (config.tied_embeddings && !model.has_tensor(name)) return embedding;
    const TensorView stored = tensors.take(name, {config.vocabulary, config.hidden_size});
    if (!config.tied_embeddings) return stored;
    if (stored.type == embedding.type && std::ranges::equal(stored.bytes, embedding.bytes)) {
        return embedding;
    }
    throw EvaluatorError{fmt::format(
        "{}: tie_word_embeddings = true, but the weights have {} beside {}, with other values: "
        "expected false, or weights without it",
        (model.folder() / "config.json").string(), name, embedding.name)};
}

}  // namespace

ModelTensors find_tensors(const ModelFolder& model) {
    const ModelConfig& config = model.config();
    const std::int64_t vocabulary = config.vocabulary;
    const std::int64_t hidden = config.hidden_size;
    Tensors stored{model};
    ModelTensors tensors;
    tensors.embedding = stored.take("model.embed_tokens.weight", {vocabulary, hidden});
    for (std::uint32_t i = 0; i < config.layers; ++i) {
        tensors.layers.push_back(Layer{stored, config, i}.find());
    }
    const std::string beyond = fmt::format("model.layers.{}.input_layernorm.weight", config.layers);
    if (model.has_tensor(beyond)) {
        throw EvaluatorError{fmt::format(
            "{}: num_hidden_layers = {}, but the weights have {}: expected the config.json that "
            "belongs to them",
            (model.folder() / "config.json").string(), config.layers, beyond)};
    }
    tensors.final_norm = stored.take("model.norm.weight", {hidden});
    tensors.head = find_head(stored, model, tensors.embedding);
    stored.require_all_taken();
    return tensors;
}

}  // namespace longrope::evaluator
