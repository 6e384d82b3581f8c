// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace longrope::evaluator {

/// Which projections of the attention carry a bias.
enum class AttentionBias : std::uint8_t {
    none,
    query_key_value,  ///< always
    by_config,        ///< all four where config.json says attention_bias
};

/// A decoder of transformers that the one forward pass serves, and what sets it apart from Llama.
/// Absent keys of config.json have the defaults of its configuration class there.
struct Architecture {
    std::string_view name;        ///< in config.json's architectures
    std::string_view model_type;  ///< in config.json's model_type
    AttentionBias attention_bias = AttentionBias::none;
    bool head_norms = false;         ///< every query and key head is normed before rotation
    bool fused_projections = false;  ///< qkv_proj and gate_up_proj, rows one after the other
    /// sliding_window counts only where use_sliding_window is true.
    bool optional_sliding_window = false;
    double default_rms_norm_eps = 1e-6;
    std::uint32_t default_head_dim = 0;        ///< 0: hidden_size / num_attention_heads
    std::uint32_t default_kv_heads = 0;        ///< 0: num_attention_heads, which null always means
    std::uint32_t default_sliding_window = 0;  ///< where the key is absent; null means none
    /// original_max_position_embeddings where the top level has none, whatever the scaling says; 0:
    /// no such rule.
    std::uint32_t default_original_window = 0;
};

/// All that are supported.
[[nodiscard]] std::span<const Architecture> architectures() noexcept;

}  // namespace longrope::evaluator
