// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cost_estimate.hpp"

#include <doctest/doctest.h>

namespace longrope::evaluator {
namespace {

ModelConfig smollm2_135m() {
    ModelConfig config;
    config.hidden_size = 576;
    config.layers = 30;
    config.heads = 9;
    config.kv_heads = 3;
    config.head_dim = 64;
    config.rotary_dim = 64;
    config.intermediate_size = 1536;
    config.vocabulary = 49152;
    return config;
}

TEST_CASE("the cost counts projections, causal attention and vocabulary as the papers do") {
    // SmolLM2-135M, per token: 212.3 M + 56.6 M FLOP and 69,120 for each of n / 2 keys.
    const double n = 8192;
    const CostEstimate cost = estimate_cost(smollm2_135m(), 8192, {});
    CHECK(cost.flop.linear / n == doctest::Approx(212.3e6).epsilon(1e-3));
    CHECK(cost.flop.vocabulary / n == doctest::Approx(56.6e6).epsilon(1e-3));
    CHECK(cost.flop.attention / n == doctest::Approx(69120.0 * n / 2.0).epsilon(1e-3));
}

TEST_CASE("LLaMA2-7B has the parameters and the work that its papers give") {
    const ModelConfig config = read_model_config(LONGROPE_SOURCE_DIR "/configs/models/llama2-7b");
    CHECK(count_parameters(config) == 6'738'415'616);  // as transformers counts them
    const ModelConfig mistral = read_model_config(LONGROPE_SOURCE_DIR "/configs/models/mistral-7b");
    CHECK(count_parameters(mistral) == 7'241'732'096);
    CHECK(mistral.original_window() == 4096);
    // Attention is 2 layers hidden n², and a token takes 2 FLOP for each weight of the layers.
    const DocumentFlop flop = count_flop(config, 2'048'000);
    CHECK(flop.attention == doctest::Approx(1.10e18).epsilon(5e-3));
    CHECK(flop.linear + flop.vocabulary == doctest::Approx(2.71e16).epsilon(5e-3));
}

TEST_CASE("nothing in the memory of a document grows with the square of its length") {
    const auto bytes = [](std::uint64_t positions) {
        return estimate_cost(smollm2_135m(), positions, {.threads = 2}).document_bytes;
    };
    CHECK(bytes(200'000) == 2 * bytes(100'000));
    CHECK(bytes(100'000) == 100'000 * 4 * (576 + 64 + 2 * 192 + 4));
}

TEST_CASE("bf16 halves the weights, keys and values, and every thread adds its working memory") {
    const CostEstimate f32 = estimate_cost(smollm2_135m(), 2048, {});
    const CostEstimate bf16 = estimate_cost(smollm2_135m(), 2048, {.precision = Precision::bf16});
    const CostEstimate two = estimate_cost(smollm2_135m(), 2048, {.threads = 2});
    CHECK(static_cast<double>(bf16.weight_bytes) ==
          doctest::Approx(0.5 * static_cast<double>(f32.weight_bytes)).epsilon(1e-3));
    CHECK(f32.document_bytes - bf16.document_bytes == 2048 * 2 * 2 * 192);
    CHECK(two.work_bytes > f32.work_bytes);
    CHECK(two.peak_bytes == program_bytes + two.weight_bytes + two.document_bytes + two.work_bytes);
}

TEST_CASE("streamed weights take the larger of a layer and the vocabulary projection") {
    const auto streamed_cost = [](const ModelConfig& config, Precision precision,
                                  std::uint64_t stored_weight_bytes = 2) {
        return estimate_cost(config, 2048,
                             {.precision = precision,
                              .weights = WeightResidency::streamed,
                              .stored_weight_bytes = stored_weight_bytes});
    };
    // SmolLM2's projection, 49,152 x 576, packed and as in the file; a layer of LLaMA2-7B has
    // 4 x 4096 x 4096 + 3 x 4096 x 11008 weights, of which gate and up are one matrix, and two
    // norms.
    const std::uint64_t projection = 49'152ULL * 576;
    const CostEstimate smollm2 = streamed_cost(smollm2_135m(), Precision::f32);
    CHECK(smollm2.weight_bytes == (4 + 2) * projection + 4 * 576);
    CHECK(streamed_cost(smollm2_135m(), Precision::bf16).weight_bytes ==
          (2 + 2) * projection + 4 * 576);
    CHECK(streamed_cost(smollm2_135m(), Precision::f32, 4).weight_bytes ==
          (4 + 4) * projection + 4 * 576);
    const ModelConfig llama = read_model_config(LONGROPE_SOURCE_DIR "/configs/models/llama2-7b");
    const std::uint64_t layer = 4ULL * 4096 * 4096 + 3ULL * 4096 * 11008 + 2 * 4096;
    CHECK(streamed_cost(llama, Precision::f32).weight_bytes ==
          4 * (layer + 4096) + 2 * 2ULL * 11008 * 4096);
    CHECK(streamed_cost(llama, Precision::f32, 4).weight_bytes ==
          4 * (layer + 4096) + 4 * 2ULL * 11008 * 4096);
    // Every document packs what it multiplies with.
    CHECK(2.0 * 2048 * static_cast<double>(smollm2.packed_weights - projection) ==
          smollm2.flop.linear);
    CHECK(estimate_cost(llama, 2048, {}).packed_weights == 0);
    const CostEstimate resident = estimate_cost(llama, 2048, {});
    const CostEstimate streamed =
        estimate_cost(llama, 2048, {.weights = WeightResidency::streamed});
    CHECK(resident.peak_bytes - streamed.peak_bytes ==
          resident.weight_bytes - streamed.weight_bytes);
}

TEST_CASE("a vocabulary projection that outweighs the layers peaks with its pages of the file") {
    ModelConfig config = smollm2_135m();
    config.layers = 1;
    const std::uint64_t projection = 49'152ULL * 576;
    CHECK(estimate_cost(config, 2048, {.stored_weight_bytes = 4}).weight_bytes ==
          (4 + 4) * projection + 4 * 576);
}

}  // namespace
}  // namespace longrope::evaluator
