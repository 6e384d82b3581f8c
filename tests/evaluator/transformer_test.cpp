// SPDX-License-Identifier: Apache-2.0
#include "evaluator/transformer.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "evaluator/cost_estimate.hpp"
#include "evaluator/evaluator.hpp"
#include "tests/evaluator/backend_runs.hpp"
#include "tests/evaluator/transformer_cases.hpp"

namespace longrope::evaluator {
namespace {

using tests::Backend;
using tests::backends;
using tests::Case;
using tests::cpu_ops;
using tests::largest_difference;
using tests::many_tiles;
using tests::RandomModel;
using tests::root_mean_square;
using tests::RunSettings;
using tests::TemporaryFolder;
using tests::tested_isa;
using tests::token_nll;

TEST_CASE("the cpu backend computes what the reference defines") {
    // Weights are drawn so that logits reach about 5 and losses about 10: float32 products of up to
    // 128 terms in another order leave some 1e-5; a wrong rotation or mask leaves more than 0.1.
    for (const Case& example : tests::transformer_cases()) {
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

TEST_CASE("the cpu backend rounds to bfloat16 where the reference does") {
    if (__builtin_cpu_supports("avx512bf16") == 0 || tested_isa() != "auto") {
        MESSAGE("skipped: bf16 needs AVX512_BF16");
        return;
    }
    for (const Case& example : tests::transformer_cases()) {
        INFO(example.name);
        const TemporaryFolder folder;
        example.model.write(folder);
        const ModelFolder model{folder.path()};
        const auto tokens = example.model.tokens(example.positions);
        const RunSettings run{example.model.factors(), example.start_tokens,
                              example.attention_scale};
        const auto exact =
            token_nll(model, *reference::make_reference_ops(Precision::f32), tokens, run);
        const auto rounded =
            token_nll(model, *reference::make_reference_ops(Precision::bf16), tokens, run);
        const auto found = token_nll(model, *cpu_ops(1, 0, Precision::bf16), tokens, run);
        // Values near the middle between two bfloat16 round either way: the two agree much better
        // with each other than with float32, not exactly.
        CHECK(root_mean_square(found, rounded) < 0.25 * root_mean_square(rounded, exact));
        CHECK(token_nll(model, *cpu_ops(3, 384, Precision::bf16), tokens, run) == found);
    }
}

TEST_CASE("the cpu backend's bits depend neither on threads nor on the rows of a call") {
    const TemporaryFolder folder;
    const RandomModel shape = many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 8, 1.1};
    for (const std::int64_t positions : {2, 385, 1100}) {
        INFO("positions = ", positions);
        const auto tokens = shape.tokens(positions);
        const auto expected = token_nll(model, *cpu_ops(1), tokens, run);
        for (const std::uint32_t threads : {1U, 2U, 3U, 8U}) {
            for (const std::int64_t chunk_rows : {0, 384, 768}) {
                INFO("threads = ", threads, ", chunk_rows = ", chunk_rows);
                CHECK(token_nll(model, *cpu_ops(threads, chunk_rows), tokens, run) == expected);
            }
        }
    }
}

TEST_CASE("the cpu backend's bits are the same in every run on the same evaluator") {
    const TemporaryFolder folder;
    const RandomModel shape = many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const auto ops = cpu_ops(2);
    const RunSettings run{shape.factors()};
    const auto expected = token_nll(model, *ops, shape.tokens(500), run);
    static_cast<void>(token_nll(model, *ops, shape.tokens(1000), run));  // leaves its values behind
    static_cast<void>(token_nll(model, *ops, shape.tokens(130), run));
    CHECK(token_nll(model, *ops, shape.tokens(500), run) == expected);
}

TEST_CASE("streamed weights give the bits of resident ones, document after document") {
    for (const Case& example : tests::transformer_cases()) {
        INFO(example.name);
        const TemporaryFolder folder;
        example.model.write(folder);
        const ModelFolder model{folder.path()};
        const RunSettings run{example.model.factors(), example.start_tokens,
                              example.attention_scale};
        std::vector<std::unique_ptr<DeviceOps>> all;
        all.push_back(reference::make_reference_ops(Precision::f32));
        all.push_back(reference::make_reference_ops(Precision::bf16));
        all.push_back(cpu_ops(2));
        if (__builtin_cpu_supports("avx512bf16") != 0 && tested_isa() == "auto") {
            all.push_back(cpu_ops(2, 0, Precision::bf16));
        }
        for (const auto& ops : all) {
            Transformer resident{model, *ops};
            Transformer streamed{model, *ops, WeightResidency::streamed};
            for (const std::int64_t positions :
                 {example.positions, std::int64_t{2}, example.positions}) {
                const auto tokens = example.model.tokens(positions);
                CHECK(token_nll(model.config(), streamed, tokens, run) ==
                      token_nll(model.config(), resident, tokens, run));
            }
        }
    }
}

TEST_CASE("streamed weights take no memory between documents") {
    const TemporaryFolder folder;
    const RandomModel shape = many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const auto ops = cpu_ops();
    const Transformer resident{model, *ops};
    Transformer streamed{model, *ops, WeightResidency::streamed};
    const auto norm = sizeof(float) * static_cast<std::uint64_t>(shape.hidden);
    CHECK(resident.weight_bytes() > 100 * norm);
    CHECK(streamed.weight_bytes() == norm);
    static_cast<void>(token_nll(model.config(), streamed, shape.tokens(200), {shape.factors()}));
    CHECK(streamed.weight_bytes() == norm);
}

/// The most memory that this process has held since peak_begins() succeeded.
std::uint64_t peak_bytes() {
    std::ifstream file{"/proc/self/status"};
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("VmHWM:")) return 1024 * std::stoull(line.substr(6));
    }
    return 0;
}

bool peak_begins() {
    std::ofstream file{"/proc/self/clear_refs"};
    return static_cast<bool>(file << 5 << std::flush);
}

TEST_CASE("the embedding takes a document no memory, wherever in it the tokens lie") {
    // 32 MiB: of a mapping, in which 64 KiB around each row would be there, 25 MiB for this chunk.
    RandomModel random;
    random.hidden = 64;
    random.vocabulary = 131'072;
    const TemporaryFolder folder;
    random.write(folder);
    const ModelFolder model{folder.path()};
    const auto ops = cpu_ops(2);
    Transformer transformer{model, *ops};
    if (!peak_begins()) {
        MESSAGE("skipped: /proc/self/clear_refs cannot be written");
        return;
    }
    const std::uint64_t before = peak_bytes();
    REQUIRE(before > 0);
    static_cast<void>(token_nll(model.config(), transformer, random.tokens(2 * 384),
                                RunSettings{random.factors()}));
    CHECK(peak_bytes() - before < std::uint64_t{16} << 20U);
}

TEST_CASE("a later token changes no earlier loss") {
    const TemporaryFolder folder;
    const RandomModel shape = many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 4};
    const auto tokens = shape.tokens(500);
    for (const Backend& backend : backends()) {
        const auto expected = token_nll(model, *backend.make(model.config()), tokens, run);
        for (const std::size_t changed : {1U, 95U, 96U, 127U, 128U, 255U, 256U, 384U, 499U}) {
            INFO(backend.name, ", changed token ", changed);
            auto other = tokens;
            other[changed] = (other[changed] + 1) % static_cast<std::int32_t>(shape.vocabulary);
            const auto found = token_nll(model, *backend.make(model.config()), other, run);
            // Token t is scored in t - 1.
            const auto kept = static_cast<std::ptrdiff_t>(changed - 1);
            CHECK(std::equal(found.begin(), found.begin() + kept, expected.begin()));
            CHECK(found[changed - 1] != expected[changed - 1]);
        }
    }
}

TEST_CASE("a prefix has the losses of the whole document") {
    const TemporaryFolder folder;
    const RandomModel shape = many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 4};
    const auto tokens = shape.tokens(700);
    for (const Backend& backend : backends()) {
        const auto whole = token_nll(model, *backend.make(model.config()), tokens, run);
        for (const std::ptrdiff_t length : {2, 97, 129, 384, 385, 699}) {
            INFO(backend.name, ", length = ", length);
            const auto prefix = token_nll(model, *backend.make(model.config()),
                                          {tokens.begin(), tokens.begin() + length}, run);
            const std::vector<float> same{whole.begin(), whole.begin() + (length - 1)};
            CHECK(largest_difference(prefix, same) <= backend.prefix_tolerance);
        }
    }
}

TEST_CASE("factors 1 make start tokens irrelevant, other factors do not") {
    const TemporaryFolder folder;
    const RandomModel shape{.head_dim = tests::any_backends_head_dim};
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const auto tokens = shape.tokens(64);
    const std::vector<double> ones(shape.factors().size(), 1.0);
    for (const Backend& backend : backends()) {
        INFO(backend.name);
        const auto losses = [&](const RunSettings& run) {
            return token_nll(model, *backend.make(model.config()), tokens, run);
        };
        CHECK(losses({ones, 0}) == losses({ones, 32}));
        CHECK(largest_difference(losses({shape.factors(), 0}), losses({shape.factors(), 32})) >
              0.01);
    }
}

TEST_CASE("a document of more than 5,000 tokens agrees with the reference") {
    const TemporaryFolder folder;
    const RandomModel shape{.hidden = 16,
                            .layers = 1,
                            .heads = 2,
                            .kv_heads = 1,
                            .head_dim = 8,
                            .intermediate = 16,
                            .vocabulary = 50};
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 16, 1.1};
    const auto tokens = shape.tokens(5001);
    const auto expected =
        token_nll(model, *reference::make_reference_ops(Precision::f32), tokens, run);
    CHECK(largest_difference(token_nll(model, *cpu_ops(2), tokens, run), expected) < 1e-4);
}

TEST_CASE("the reference gives the same bits for any rows of a call") {
    const TemporaryFolder folder;
    const RandomModel shape;
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 4, 1.1};
    const auto tokens = shape.tokens(70);
    const auto expected =
        token_nll(model, *reference::make_reference_ops(Precision::f32, 1000), tokens, run);
    for (const std::int64_t chunk_rows : {1, 7, 69, 70}) {
        const auto ops = reference::make_reference_ops(Precision::f32, chunk_rows);
        CHECK(token_nll(model, *ops, tokens, run) == expected);
    }
}

TEST_CASE("a weight that is not finite makes losses that are not finite, never an error") {
    const TemporaryFolder folder;
    RandomModel shape{.head_dim = tests::any_backends_head_dim};
    shape.write(folder);
    std::string bytes = shape.tensors();
    const std::uint32_t nan = 0x7FC00000U;
    std::memcpy(bytes.data() + bytes.size() - 4, &nan, 4);  // the last weight of the final norm
    folder.write("model.safetensors", bytes);
    const ModelFolder model{folder.path()};
    for (const Backend& backend : backends()) {
        INFO(backend.name);
        const auto ops = backend.make(model.config());
        for (const float nll : token_nll(model, *ops, shape.tokens(40), {shape.factors()})) {
            CHECK(std::isnan(nll));
        }
    }
}

TEST_CASE("an attention score that overflows is not hidden") {
    const TemporaryFolder folder;
    const RandomModel shape{.head_dim = tests::any_backends_head_dim};
    shape.write(folder);
    const ModelFolder model{folder.path()};
    for (const Backend& backend : backends()) {
        INFO(backend.name);
        const auto ops = backend.make(model.config());
        // Scores of 1e60 are beyond float32. Those of the reference are double: there it is the
        // queries and keys that are beyond it.
        const RunSettings run{shape.factors(), 0, backend.name == "reference" ? 3e38 : 1e30};
        for (const float nll : token_nll(model, *ops, shape.tokens(40), run)) {
            CHECK_FALSE(std::isfinite(nll));
        }
    }
}

TEST_CASE("every bias, norm of heads and fused part is felt by the losses") {
    // What an architecture adds must not be read and then dropped.
    struct Part {
        std::string model_type;
        bool attention_bias;
        std::string tensor;
    };
    const std::string layer = "model.layers.0.self_attn.";
    for (const Part& part :
         {Part{"qwen2", false, layer + "q_proj.bias"}, Part{"qwen2", false, layer + "k_proj.bias"},
          Part{"qwen2", false, layer + "v_proj.bias"}, Part{"llama", true, layer + "o_proj.bias"},
          Part{"qwen3", false, layer + "q_norm.weight"},
          Part{"qwen3", false, layer + "k_norm.weight"},
          Part{"phi3", false, layer + "qkv_proj.weight"},
          Part{"phi3", false, "model.layers.0.mlp.gate_up_proj.weight"}}) {
        INFO(part.model_type, ", ", part.tensor);
        RandomModel shape{.model_type = part.model_type,
                          .attention_bias = part.attention_bias,
                          .head_dim = tests::any_backends_head_dim};
        const TemporaryFolder folder;
        for (const Backend& backend : backends()) {
            INFO(backend.name);
            const auto losses = [&] {
                shape.write(folder);
                const ModelFolder model{folder.path()};
                return token_nll(model, *backend.make(model.config()), shape.tokens(50),
                                 {shape.factors()});
            };
            shape.doubled = "";
            const auto expected = losses();
            shape.doubled = part.tensor;
            CHECK(largest_difference(losses(), expected) > 0.01);
        }
        shape.without = part.tensor;
        shape.write(folder);
        const ModelFolder model{folder.path()};
        const auto ops = cpu_ops();
        CHECK_THROWS_WITH_AS(Transformer(model, *ops), doctest::Contains(part.tensor.c_str()),
                             EvaluatorError);
    }
}

TEST_CASE("the cost estimate knows the weights that each architecture holds") {
    for (const char* model_type : {"llama", "qwen2", "qwen3", "phi3"}) {
        INFO(model_type);
        const RandomModel shape{.model_type = model_type, .tied_embeddings = false};
        const TemporaryFolder folder;
        shape.write(folder);
        const ModelFolder model{folder.path()};
        const auto ops = reference::make_reference_ops(Precision::f32);
        // The reference holds the embedding; the cpu backend, which is estimated, does not.
        const auto embedding =
            sizeof(float) * static_cast<std::uint64_t>(shape.vocabulary * shape.hidden);
        CHECK(Transformer{model, *ops}.weight_bytes() ==
              embedding + estimate_cost(model.config(), 2, {}).weight_bytes);
    }
}

TEST_CASE("a missing tensor is named") {
    for (const bool tied : {true, false}) {
        RandomModel shape{.tied_embeddings = tied};
        for (const std::string& name :
             {std::string{"model.layers.1.self_attn.k_proj.weight"},
              std::string{"model.norm.weight"}, std::string{"lm_head.weight"}}) {
            if (tied && name == "lm_head.weight") continue;
            const TemporaryFolder folder;
            shape.without = name;
            shape.write(folder);
            const ModelFolder model{folder.path()};
            const auto ops = cpu_ops();
            for (const auto residency : {WeightResidency::resident, WeightResidency::streamed}) {
                CHECK_THROWS_WITH_AS(Transformer(model, *ops, residency),
                                     doctest::Contains(name.c_str()), EvaluatorError);
            }
        }
    }
}

TEST_CASE("weights that would be left out are refused, and those that change nothing are not") {
    const TemporaryFolder folder;
    RandomModel shape;
    const auto ops = cpu_ops();
    const auto losses = [&] {
        shape.write(folder);
        return token_nll(ModelFolder{folder.path()}, *ops, shape.tokens(20), {shape.factors()});
    };
    const auto expected = losses();
    for (const char* name :
         {"model.layers.1.self_attn.q_proj.bias", "model.layers.1.self_attn.o_proj.bias",
          "model.layers.0.mlp.up_proj.bias", "model.layers.0.self_attn.q_norm.weight",
          "lm_head.bias", "model.vision.weight"}) {
        INFO(name);
        shape.extra = name;
        CHECK_THROWS_WITH_AS(
            losses(), doctest::Contains((std::string{"tensor "} + name + " takes no part").c_str()),
            EvaluatorError);
    }
    for (const char* name : {"model.layers.0.self_attn.rotary_emb.inv_freq", "score.weight"}) {
        INFO(name);
        shape.extra = name;
        CHECK(losses() == expected);
    }
}

TEST_CASE("a projection beside the embedding that it is tied to must have its values") {
    const TemporaryFolder folder;
    RandomModel shape;
    const auto ops = cpu_ops();
    const auto losses = [&] {
        return token_nll(ModelFolder{folder.path()}, *ops, shape.tokens(20), {shape.factors()});
    };
    shape.write(folder);
    const auto expected = losses();
    shape.stored_head = true;
    shape.write(folder);
    CHECK(losses() == expected);
    for (const char* changed : {"model.embed_tokens.weight", "lm_head.weight"}) {
        RandomModel other{.tied_embeddings = false, .doubled = changed};
        other.write(folder);
        folder.write("config.json", shape.config());
        CHECK_THROWS_WITH_AS(losses(),
                             doctest::Contains("tie_word_embeddings = true, but the weights have "
                                               "lm_head.weight beside model.embed_tokens.weight"),
                             EvaluatorError);
    }
}

}  // namespace
}  // namespace longrope::evaluator
