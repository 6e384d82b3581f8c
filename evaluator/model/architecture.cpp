// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/architecture.hpp"

#include <array>

namespace longrope::evaluator {

namespace {

constexpr std::array known{
    // Llama 1 to 3 and all that are stored as one, SmolLM2 among them.
    Architecture{.name = "LlamaForCausalLM",
                 .model_type = "llama",
                 .attention_bias = AttentionBias::by_config},
    Architecture{.name = "MistralForCausalLM",
                 .model_type = "mistral",
                 .default_kv_heads = 8,
                 .default_sliding_window = 4096},
    Architecture{.name = "Qwen2ForCausalLM",  // and Qwen2.5
                 .model_type = "qwen2",
                 .attention_bias = AttentionBias::query_key_value,
                 .optional_sliding_window = true,
                 .default_kv_heads = 32,
                 .default_sliding_window = 4096},
    Architecture{.name = "Qwen3ForCausalLM",
                 .model_type = "qwen3",
                 .attention_bias = AttentionBias::by_config,
                 .head_norms = true,
                 .optional_sliding_window = true,
                 .default_head_dim = 128,
                 .default_kv_heads = 32,
                 .default_sliding_window = 4096},
    Architecture{.name = "Phi3ForCausalLM",  // Phi-3, Phi-3.5 mini, Phi-4
                 .model_type = "phi3",
                 .fused_projections = true,
                 .default_rms_norm_eps = 1e-5,
                 .default_original_window = 4096},
};

}  // namespace

std::span<const Architecture> architectures() noexcept {
    return known;
}

}  // namespace longrope::evaluator
