// SPDX-License-Identifier: Apache-2.0
#include "evaluator/transformer.hpp"

#include <doctest/doctest.h>

#include "evaluator/evaluator.hpp"
#include "tests/evaluator/backend_runs.hpp"

namespace longrope::evaluator {
namespace {

using tests::cpu_ops;
using tests::largest_difference;
using tests::RandomModel;
using tests::RunSettings;
using tests::TemporaryFolder;
using tests::token_nll;

struct Case {
    const char* name;
    RandomModel model;
    std::int64_t positions;
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
};

/// Odd sizes on purpose: one row more than a tile, a block of attention, a chunk; vocabularies that
/// fill no block; head dimensions that fill no vector.
std::vector<Case> cases() {
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
        {"head dimension 80, quarter rotary",
         {.hidden = 80,
          .layers = 1,
          .heads = 1,
          .kv_heads = 1,
          .head_dim = 80,
          .partial_rotary_factor = 0.25},
         260},
    };
}

TEST_CASE("the cpu backend computes what the reference defines") {
    // Weights are drawn so that logits reach about 5 and losses about 10: float32 products of up to
    // 128 terms in another order leave some 1e-5; a wrong rotation or mask leaves more than 0.1.
    for (const Case& example : cases()) {
        INFO(example.name);
        const TemporaryFolder folder;
        example.model.write(folder);
        const ModelFolder model{folder.path()};
        const auto tokens = example.model.tokens(example.positions);
        const RunSettings run{example.model.factors(), example.start_tokens,
                              example.attention_scale};
        const auto expected =
            token_nll(model, *reference::make_reference_ops(Precision::f32), tokens, run);
        const auto found = token_nll(model, *cpu_ops(), tokens, run);
        CHECK(found.size() == static_cast<std::size_t>(example.positions - 1));
        CHECK(largest_difference(found, expected) < 1e-4);
    }
}

}  // namespace
}  // namespace longrope::evaluator
