// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/evaluator/random_model.hpp"

namespace longrope::tests {

/// A model and a document that every backend is tried on.
struct Case {
    std::string name;
    RandomModel model;
    std::int64_t positions;
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
};

/// Odd sizes on purpose: one row more than a tile, a block of attention, a chunk; vocabularies that
/// fill no block; head dimensions that fill no vector.
inline std::vector<Case> transformer_cases() {
    return {
        {"two positions", {}, 2},
        {"head dimension 12, one row more than a tile", {}, 129},
        {"head dimension 12, half rotary", {.partial_rotary_factor = 0.5}, 100},
        {"head dimension 32, one row more than a chunk",
         {.hidden = 64, .heads = 2, .kv_heads = 1, .head_dim = 32, .intermediate = 96},
         385},
        {"head dimension 64, start tokens, untied head",
         {.hidden = 64, .heads = 3, .kv_heads = 1, .head_dim = 64, .tied_embeddings = false},
         300,
         16,
         1.2},
        {"head dimension 128, one query head per key head, vocabulary of two blocks",
         {.hidden = 40, .layers = 1, .heads = 2, .head_dim = 128, .vocabulary = 1500},
         97,
         4,
         1.07},
        {"head dimension 130, one component more than vectors hold",
         {.hidden = 40, .layers = 1, .heads = 2, .kv_heads = 1, .head_dim = 130},
         101},
        {"head dimension 256",
         {.hidden = 40, .layers = 1, .heads = 2, .kv_heads = 1, .head_dim = 256},
         99},
        {"head dimension 80, quarter rotary",
         {.hidden = 80,
          .layers = 1,
          .heads = 1,
          .kv_heads = 1,
          .head_dim = 80,
          .partial_rotary_factor = 0.25},
         260},
        {"biases of queries, keys and values", {.model_type = "qwen2", .kv_heads = 1}, 130},
        {"biases of the output too, three queries wide",
         {.attention_bias = true, .heads = 3, .kv_heads = 3, .head_dim = 20},
         150},
        {"norms of heads, which fill no vector",
         {.model_type = "qwen3", .head_dim = 20, .tied_embeddings = false},
         386,
         4,
         1.1},
        {"norms of heads of 128 and all biases",
         {.model_type = "qwen3", .attention_bias = true, .hidden = 40, .head_dim = 128},
         131},
        {"fused projections, three quarters rotary",
         {.model_type = "phi3", .hidden = 64, .head_dim = 16, .partial_rotary_factor = 0.75},
         200,
         2},
    };
}

/// A model with every operation, whose documents span several chunks, tiles and attention tasks.
inline RandomModel many_tiles() {
    return {.model_type = "qwen3",
            .attention_bias = true,
            .hidden = 64,
            .heads = 4,
            .head_dim = 32,
            .intermediate = 96,
            .vocabulary = 300};
}

}  // namespace longrope::tests
