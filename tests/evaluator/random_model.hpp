// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "evaluator/model/model_folder.hpp"
#include "tests/evaluator/model/safetensors_builder.hpp"
#include "tests/evaluator/temporary_folder.hpp"

namespace longrope::tests {

/// A small model with random weights, written as a Hugging Face folder.
struct RandomModel {
    std::string model_type = "llama";
    bool attention_bias = false;  ///< of all four projections, in a Llama or Qwen3
    std::int64_t hidden = 48;
    std::int64_t layers = 2;
    std::int64_t heads = 4;
    std::int64_t kv_heads = 2;
    std::int64_t head_dim = 12;
    double partial_rotary_factor = 1.0;
    std::int64_t intermediate = 80;
    std::int64_t vocabulary = 101;
    bool tied_embeddings = true;
    std::string without = {};  ///< a tensor to leave out
    std::string doubled = {};  ///< a tensor whose values to double
    std::string extra = {};    ///< a vector that no forward pass reads
    bool stored_head = false;  ///< of tied embeddings, beside them, with their values
    unsigned seed = 1;

    [[nodiscard]] std::int64_t rotary_dim() const {
        return static_cast<std::int64_t>(static_cast<double>(head_dim) * partial_rotary_factor);
    }

    void write(const TemporaryFolder& folder) const {
        folder.write("config.json", config());
        folder.write("model.safetensors", tensors());
    }

    [[nodiscard]] std::string config() const {
        return fmt::format(
            R"({{"model_type":"{}","attention_bias":{},"hidden_size":{},)"
            R"("num_hidden_layers":{},"num_attention_heads":{},"num_key_value_heads":{},)"
            R"("head_dim":{},"partial_rotary_factor":{},"intermediate_size":{},"vocab_size":{},)"
            R"("tie_word_embeddings":{},"rope_theta":10000.0,"rms_norm_eps":1e-5,)"
            R"("hidden_act":"silu","max_position_embeddings":256}})",
            model_type, attention_bias, hidden, layers, heads, kv_heads, head_dim,
            partial_rotary_factor, intermediate, vocabulary, tied_embeddings);
    }

    [[nodiscard]] std::string tensors() const {
        std::string header;
        std::string data;
        std::mt19937 random{seed};
        const auto add = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs) {
            if (name == without) return;
            const bool norm = inputs == 0;
            const std::int64_t count = outputs * (norm ? 1 : inputs);
            const double scale = norm ? 0.2 : 1.5 / std::sqrt(static_cast<double>(inputs));
            std::vector<float> values(static_cast<std::size_t>(count));
            for (float& value : values) {
                const double uniform = static_cast<double>(random()) / 4294967296.0 - 0.5;
                value = static_cast<float>((norm ? 1.0 : 0.0) + scale * 2.0 * uniform);
                if (name == doubled) value *= 2.0F;
            }
            const std::size_t start = data.size();
            data.resize(start + values.size() * sizeof(float));
            std::memcpy(data.data() + start, values.data(), values.size() * sizeof(float));
            const std::string shape =
                norm ? fmt::format("{}", outputs) : fmt::format("{},{}", outputs, inputs);
            header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                                  header.empty() ? "" : ",", name, shape, start, data.size());
        };
        add("model.embed_tokens.weight", vocabulary, hidden);
        for (std::int64_t i = 0; i < layers; ++i) {
            add_layer(fmt::format("model.layers.{}.", i), add);
        }
        add("model.norm.weight", hidden, 0);
        if (!tied_embeddings) add("lm_head.weight", vocabulary, hidden);
        if (stored_head) {  // the embedding is the first
            const auto bytes = static_cast<std::size_t>(vocabulary * hidden) * sizeof(float);
            header += fmt::format(
                R"(,"lm_head.weight":{{"dtype":"F32","shape":[{},{}],"data_offsets":[{},{}]}})",
                vocabulary, hidden, data.size(), data.size() + bytes);
            data += data.substr(0, bytes);
        }
        if (!extra.empty()) add(extra, hidden, 0);
        return safetensors_bytes("{" + header + "}", data);
    }

    template <class Add>
    void add_layer(const std::string& layer, const Add& add) const {
        const std::int64_t query_size = heads * head_dim;
        const std::int64_t kv_size = kv_heads * head_dim;
        const bool fused = model_type == "phi3";
        add(layer + "input_layernorm.weight", hidden, 0);
        if (fused) {
            add(layer + "self_attn.qkv_proj.weight", query_size + 2 * kv_size, hidden);
        } else {
            add(layer + "self_attn.q_proj.weight", query_size, hidden);
            add(layer + "self_attn.k_proj.weight", kv_size, hidden);
            add(layer + "self_attn.v_proj.weight", kv_size, hidden);
        }
        add(layer + "self_attn.o_proj.weight", hidden, query_size);
        if (attention_bias || model_type == "qwen2") {
            add(layer + "self_attn.q_proj.bias", query_size, 0);
            add(layer + "self_attn.k_proj.bias", kv_size, 0);
            add(layer + "self_attn.v_proj.bias", kv_size, 0);
        }
        if (attention_bias) add(layer + "self_attn.o_proj.bias", hidden, 0);
        if (model_type == "qwen3") {
            add(layer + "self_attn.q_norm.weight", head_dim, 0);
            add(layer + "self_attn.k_norm.weight", head_dim, 0);
        }
        add(layer + "post_attention_layernorm.weight", hidden, 0);
        if (fused) {
            add(layer + "mlp.gate_up_proj.weight", 2 * intermediate, hidden);
        } else {
            add(layer + "mlp.gate_proj.weight", intermediate, hidden);
            add(layer + "mlp.up_proj.weight", intermediate, hidden);
        }
        add(layer + "mlp.down_proj.weight", hidden, intermediate);
    }

    [[nodiscard]] std::vector<std::int32_t> tokens(std::int64_t count) const {
        std::mt19937 random{seed + 1000};
        std::vector<std::int32_t> result(static_cast<std::size_t>(count));
        for (std::int32_t& token : result) {
            token = static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(vocabulary));
        }
        return result;
    }

    /// Increasing factors from 1 to 4.
    [[nodiscard]] std::vector<double> factors() const {
        const auto pairs = static_cast<std::size_t>(rotary_dim() / 2);
        std::vector<double> result(pairs);
        for (std::size_t i = 0; i < pairs; ++i) {
            result[i] = 1.0 + 3.0 * static_cast<double>(i + 1) / static_cast<double>(pairs);
        }
        return result;
    }
};

/// The instruction set that CPU tests pin. oneDNN takes one per process, so the tests run once more
/// with LONGROPE_TEST_ISA for each of the others.
inline std::string tested_isa() {
    const char* setting = std::getenv("LONGROPE_TEST_ISA");
    return setting == nullptr ? "auto" : setting;
}

}  // namespace longrope::tests
