// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace longrope::evaluator {

/// The facts of a Hugging Face config.json that the forward pass and the search need.
struct ModelConfig {
    std::string architecture;  ///< "LlamaForCausalLM"; see architecture.hpp
    bool query_key_value_bias = false;
    bool output_bias = false;        ///< of the attention's output projection
    bool head_norms = false;         ///< every query and key head is normed before rotation
    bool fused_projections = false;  ///< qkv_proj and gate_up_proj
    std::uint32_t hidden_size = 0;
    std::uint32_t layers = 0;
    std::uint32_t heads = 0;
    std::uint32_t kv_heads = 0;
    std::uint32_t head_dim = 0;    ///< explicit, or hidden_size / heads
    std::uint32_t rotary_dim = 0;  ///< int(head_dim * partial_rotary_factor), even
    std::uint32_t intermediate_size = 0;
    std::uint32_t vocabulary = 0;
    double rope_theta = 10000.0;  ///< from rope_theta (4.x) or rope_parameters (5.x)
    double rms_norm_eps = 1e-6;
    bool tied_embeddings = false;
    std::uint32_t max_position_embeddings = 0;
    std::uint32_t original_max_position_embeddings = 0;  ///< 0: absent
    std::uint32_t sliding_window = 0;                    ///< 0: absent or null
    /// The scaling that the folder itself asks for (linear, yarn, llama3, longrope, …); empty:
    /// none. Every method but `model` replaces it, which a caller should say.
    std::string rope_scaling_type;

    /// Rotary pairs D = rotary_dim / 2, the length of a factor vector.
    [[nodiscard]] std::uint32_t rotary_pairs() const noexcept { return rotary_dim / 2; }
    /// L: original_max_position_embeddings, else sliding_window, else max_position_embeddings.
    [[nodiscard]] std::uint32_t original_window() const noexcept;
};

/// The folder's config.json.
/// @throws EvaluatorError naming the file if it is missing, unreadable or too large
[[nodiscard]] std::string read_config_text(const std::filesystem::path& model_folder);

/// @throws EvaluatorError naming the file, the key, what was found and what would be accepted
[[nodiscard]] ModelConfig read_model_config(const std::filesystem::path& model_folder);
/// The same of a text that was read already.
[[nodiscard]] ModelConfig parse_model_config(const std::string& text,
                                             const std::filesystem::path& model_folder);

}  // namespace longrope::evaluator
