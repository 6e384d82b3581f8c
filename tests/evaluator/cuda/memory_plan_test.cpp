// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/memory_plan.hpp"

#include <doctest/doctest.h>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cuda {
namespace {

constexpr DeviceMemory card_80_gb{85'000'000'000};

ModelConfig llama2_7b() {
    ModelConfig config;
    config.hidden_size = 4096;
    config.layers = 32;
    config.heads = 32;
    config.kv_heads = 32;
    config.head_dim = 128;
    config.rotary_dim = 128;
    config.intermediate_size = 11008;
    config.vocabulary = 32000;
    return config;
}

ModelConfig mistral_7b() {
    ModelConfig config = llama2_7b();
    config.kv_heads = 8;
    config.intermediate_size = 14336;
    return config;
}

double gigabytes(std::uint64_t bytes) {
    return static_cast<double>(bytes) * 1e-9;
}

TEST_CASE("cuda plan: heads that cuDNN does not serve are refused before anything runs") {
    ModelConfig config = llama2_7b();
    for (const std::uint32_t served : {8U, 64U, 80U, 256U}) {
        config.head_dim = served;
        CHECK_NOTHROW(require_served_heads(config));
    }
    for (const std::uint32_t refused : {2U, 66U, 257U, 264U}) {
        config.head_dim = refused;
        CHECK_THROWS_WITH_AS(require_served_heads(config), doctest::Contains("head_dim = "),
                             EvaluatorError);
    }
}

TEST_CASE("cuda plan: short documents keep all weights of a 7B model on an 80 GB card") {
    for (const ModelConfig& config : {llama2_7b(), mistral_7b()}) {
        for (const std::uint64_t positions : {2U, 4096U, 131072U, 262144U}) {
            const MemoryPlan plan = plan_memory(config, positions, card_80_gb);
            CHECK(plan.fits());
            CHECK(plan.placement == WeightPlacement::resident);
            CHECK(plan.matrix_bytes == config.layers * plan.layer_bytes);
            CHECK(plan.pinned_host_bytes == 0);
        }
    }
}

TEST_CASE("cuda plan: 2,048,000 positions of LLaMA2-7B fit an 80 GB card with streamed weights") {
    const MemoryPlan plan = plan_memory(llama2_7b(), 2'048'000, card_80_gb);
    CHECK(plan.fits());
    CHECK(plan.placement == WeightPlacement::streamed);
    // 4 bytes for each component of the hidden states; 2 for each of keys and values.
    CHECK(gigabytes(plan.hidden_bytes) == doctest::Approx(33.57).epsilon(1e-3));
    CHECK(gigabytes(plan.key_value_bytes) == doctest::Approx(33.55).epsilon(1e-3));
    CHECK(gigabytes(plan.rotary_bytes) == doctest::Approx(1.049).epsilon(1e-3));
    // A layer has 202.4 M weights; two of them are on the device, all 32 in host memory.
    CHECK(gigabytes(plan.matrix_bytes) == doctest::Approx(0.810).epsilon(1e-3));
    CHECK(gigabytes(plan.pinned_host_bytes) == doctest::Approx(12.95).epsilon(1e-3));
    CHECK(gigabytes(plan.table_bytes) == doctest::Approx(0.524).epsilon(1e-3));
    CHECK(plan.device_bytes() < 75'000'000'000);
    // Resident weights would leave CUDA itself no room.
    CHECK(plan.device_bytes() + 30 * plan.layer_bytes > card_80_gb.total);
}

TEST_CASE("cuda plan: keys of one attention call stay below 2^31 elements") {
    ModelConfig config = llama2_7b();
    for (const std::uint32_t head_dim : {64U, 96U, 128U, 256U}) {
        config.head_dim = head_dim;
        for (const std::uint64_t positions : {131'072U, 2'048'000U, 2'097'152U, 4'000'000U}) {
            INFO("head dimension ", head_dim, ", positions ", positions);
            const MemoryPlan plan = plan_memory(config, positions, card_80_gb);
            const std::uint64_t padded = (positions + 127) / 128 * 128;
            const auto group = static_cast<std::uint64_t>(plan.kv_heads_per_group);
            CHECK(group >= 1);
            CHECK(group <= 8);
            CHECK(32 % group == 0);
            CHECK(group * padded * head_dim < (std::uint64_t{1} << 31U));
        }
    }
    CHECK(plan_memory(llama2_7b(), 2'048'000, card_80_gb).kv_heads_per_group == 8);
    CHECK(plan_memory(llama2_7b(), 2'097'152, card_80_gb).kv_heads_per_group == 4);
    config = mistral_7b();
    config.kv_heads = 3;
    config.heads = 9;
    CHECK(plan_memory(config, 4096, card_80_gb).kv_heads_per_group == 3);
}

TEST_CASE("cuda plan: what does not fit is refused with the bytes needed and had") {
    const MemoryPlan plan = plan_memory(llama2_7b(), 2'048'000, {40'000'000'000});
    CHECK_FALSE(plan.fits());
    const std::string needed = std::to_string(plan.device_bytes());
    CHECK_THROWS_WITH_AS(require_fit(plan), doctest::Contains(needed.c_str()), EvaluatorError);
    CHECK_THROWS_WITH_AS(require_fit(plan), doctest::Contains("2048000 positions"), EvaluatorError);
    CHECK_THROWS_WITH_AS(require_fit(plan), doctest::Contains("40000000000"), EvaluatorError);
    CHECK_NOTHROW(require_fit(plan_memory(llama2_7b(), 4096, {40'000'000'000})));
}

TEST_CASE(
    "cuda plan: exactly enough memory is enough, a byte less streams, and streaming has an end") {
    const ModelConfig config = mistral_7b();
    const MemoryPlan resident = plan_memory(config, 65536, card_80_gb);
    CHECK(plan_memory(config, 65536, {resident.device_bytes()}).placement ==
          WeightPlacement::resident);
    const MemoryPlan streamed = plan_memory(config, 65536, {resident.device_bytes() - 1});
    CHECK(streamed.placement == WeightPlacement::streamed);
    CHECK(streamed.device_bytes() == resident.device_bytes() - 30 * resident.layer_bytes);
    CHECK(plan_memory(config, 65536, {streamed.device_bytes()}).fits());
    CHECK_FALSE(plan_memory(config, 65536, {streamed.device_bytes() - 1}).fits());
}

TEST_CASE("cuda plan: tied embeddings are held once, biases and norms of heads are counted") {
    ModelConfig config = mistral_7b();
    const MemoryPlan untied = plan_memory(config, 4096, card_80_gb);
    config.tied_embeddings = true;
    CHECK(2 * plan_memory(config, 4096, card_80_gb).table_bytes == untied.table_bytes);
    config.query_key_value_bias = true;
    config.output_bias = true;
    config.head_norms = true;
    const std::uint64_t layer = 4ULL * (4096 + 1024 + 1024 + 4096 + 2 * 128);
    CHECK(plan_memory(config, 4096, card_80_gb).vector_bytes ==
          untied.vector_bytes + config.layers * layer);
}

}  // namespace
}  // namespace longrope::evaluator::cuda
