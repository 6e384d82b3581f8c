// SPDX-License-Identifier: Apache-2.0
#include "cli/export_formats.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "cli/export_verification.hpp"
#include "cli/factors_file.hpp"
#include "cli/json_text.hpp"
#include "evaluator/model/model_config.hpp"
#include "evaluator/model/rope_scaling.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope;
using namespace longrope::cli;
using longrope::tests::TemporaryFolder;
namespace json = boost::json;

namespace {

/// A model of 8 rotary pairs whose window is 256, in the way of an architecture.
json::object config_of(const std::string& architecture, const std::string& type) {
    return {{"architectures", {architecture}},
            {"model_type", type},
            {"vocab_size", 64},
            {"hidden_size", 64},
            {"intermediate_size", 96},
            {"num_hidden_layers", 2},
            {"num_attention_heads", 4},
            {"num_key_value_heads", 2},
            {"max_position_embeddings", 256},
            {"rms_norm_eps", 1e-05},
            {"rope_theta", 10000.0},
            {"torch_dtype", "float16"}};
}

RopeExport stretched_eightfold() {
    RopeExport rope;
    for (int i = 0; i < 8; ++i) rope.long_list.factors.push_back(1.0 + i / 3.0);
    rope.long_list.tokens = 2048;
    rope.short_list.factors = {1.0, 1.0, 1.01, 1.02, 1.1, 1.2, 1.2, 1.25};
    rope.theta = 10000.0;
    rope.rotary_dim = 16;
    rope.original_window = 256;
    rope.attention_scale = rope.assumed_attention_scale();
    return rope;
}

/// Equal up to the last digits that a JSON parser may lose.
bool are_same(const std::vector<double>& one, const std::vector<double>& other) {
    return std::ranges::equal(one, other, [](double left, double right) {
        return std::abs(left - right) <= 1e-15 * left;
    });
}

struct Written {
    TemporaryFolder folder;
    json::object config;

    Written(const json::object& original, const RopeExport& rope) {
        folder.write("config.json", json_text(original));
        config = hugging_face_config(original, evaluator::read_model_config(folder.path()), rope);
        folder.write("config.json", json_text(config));
    }
    [[nodiscard]] evaluator::ScaledRotation rotation(std::uint64_t positions) const {
        const auto read = evaluator::read_model_config(folder.path());
        return evaluator::scaled_rotation(evaluator::read_rope_scaling(folder.path(), read), read,
                                          positions);
    }
};

}  // namespace

TEST_CASE("a folder is read back with each list on its side of the original window") {
    for (const auto& [architecture, type] : {std::pair{"LlamaForCausalLM", "llama"},
                                             {"MistralForCausalLM", "mistral"},
                                             {"Qwen2ForCausalLM", "qwen2"},
                                             {"Qwen3ForCausalLM", "qwen3"},
                                             {"Phi3ForCausalLM", "phi3"}}) {
        INFO(architecture);
        json::object original = config_of(architecture, type);
        original["head_dim"] = 16;
        const RopeExport rope = stretched_eightfold();
        const Written written{original, rope};
        for (const std::uint64_t positions : {2U, 256U}) {
            CHECK(are_same(written.rotation(positions).factors, rope.short_list.factors));
        }
        for (const std::uint64_t positions : {257U, 2048U, 100000U}) {
            CHECK(are_same(written.rotation(positions).factors, rope.long_list.factors));
        }
        CHECK(written.rotation(300).attention_scale == doctest::Approx{rope.attention_scale});
        CHECK_NOTHROW(
            require_same_lists({.rope = rope}, reload_hugging_face(written.folder.path())));
        CHECK(written.config.at("max_position_embeddings") == 2048);
        CHECK(written.config.at("original_max_position_embeddings") == 256);
        CHECK(written.config.at("torch_dtype") == "float16");
    }
}

TEST_CASE("both generations of transformers find their keys") {
    const RopeExport rope = stretched_eightfold();
    const Written written{config_of("LlamaForCausalLM", "llama"), rope};
    const json::object& four = written.config.at("rope_scaling").as_object();
    const json::object& five = written.config.at("rope_parameters").as_object();
    CHECK(four.at("type") == "longrope");
    for (const json::object* section : {&four, &five}) {
        CHECK(section->at("rope_type") == "longrope");
        CHECK(section->at("factor") == 8.0);
        CHECK(section->at("attention_factor") == rope.attention_scale);
        CHECK(section->at("original_max_position_embeddings") == 256);
        CHECK(section->at("long_factor").as_array().size() == 8);
        CHECK_FALSE(section->contains("long_mscale"));
    }
    CHECK(written.config.at("rope_theta") == 10000.0);
    CHECK(five.at("rope_theta") == 10000.0);
}

TEST_CASE("a Phi-3 has the three keys that transformers 4 accepts, or none") {
    json::object original = config_of("Phi3ForCausalLM", "phi3");
    original["partial_rotary_factor"] = 0.5;
    RopeExport rope = stretched_eightfold();
    rope.rotary_dim = 8;
    for (FactorList* list : {&rope.long_list, &rope.short_list}) list->factors.resize(4);
    const Written assumed{original, rope};
    CHECK(assumed.config.at("rope_scaling").as_object().size() == 3);
    CHECK(assumed.config.at("rope_parameters").at("partial_rotary_factor") == 0.5);
    CHECK(assumed.rotation(2048).attention_scale == doctest::Approx{rope.attention_scale});

    rope.attention_scale = 1.0;  // three keys cannot say it
    const Written own{original, rope};
    CHECK_FALSE(own.config.contains("rope_scaling"));
    CHECK(own.rotation(2048).attention_scale == 1.0);
}

TEST_CASE("an attention scale of its own is said in the keys of vLLM too") {
    RopeExport rope = stretched_eightfold();
    const TemporaryFolder folder;
    folder.write("config.json", json_text(config_of("LlamaForCausalLM", "llama")));
    const auto model = evaluator::read_model_config(folder.path());
    for (const double scale : {rope.assumed_attention_scale(), 1.0, 1.3}) {
        INFO("attention scale ", scale);
        rope.attention_scale = scale;
        const json::object overrides = vllm_overrides(model, rope);
        const bool own = scale != rope.assumed_attention_scale();
        for (const char* name : {"rope_scaling", "rope_parameters"}) {
            const json::object& section = overrides.at(name).as_object();
            CHECK(section.contains("short_mscale") == own);
            CHECK(section.contains("long_mscale") == own);
        }
        const auto file = folder.write("overrides.json", json_text(overrides));
        const ReloadedRope reloaded = reload_vllm(file, 8);
        CHECK_NOTHROW(require_same_lists({.rope = rope}, reloaded));
        CHECK(reloaded.long_attention_scale == doctest::Approx{scale});
    }
}

TEST_CASE("another scaling is replaced, and a sliding window below the target taken away") {
    json::object original = config_of("MistralForCausalLM", "mistral");
    original["head_dim"] = 16;
    original["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
    original["sliding_window"] = 128;
    const Written written{original, stretched_eightfold()};
    CHECK(written.config.at("sliding_window").is_null());
    CHECK(written.config.at("rope_scaling").at("type") == "longrope");
    original["sliding_window"] = 4096;
    const Written wide{original, stretched_eightfold()};
    CHECK(wide.config.at("sliding_window") == 4096);
}

TEST_CASE("CSV is read back to the last bit, our own JSON to the last digits") {
    RopeExport rope = stretched_eightfold();
    rope.long_list.start_tokens = 4;
    rope.long_list.score = {"heldout", {1, 5}, {200.0, 300.0}, {100, 100}};
    const TemporaryFolder folder;
    const FactorsFile csv =
        read_factors_file(folder.write("long.csv", factors_csv(rope)), "--factors", 8, rope.theta);
    CHECK(csv.factors == rope.long_list.factors);
    const json::object native = native_export(rope);
    CHECK(native.at("score").at("perplexity") == std::exp(2.5));
    const FactorsFile read =
        read_factors_file(folder.write("long.json", json_text(native)), "--factors", 8, rope.theta);
    CHECK(are_same(read.factors, rope.long_list.factors));
    CHECK(are_same(read.short_factors, rope.short_list.factors));
    CHECK(read.start_tokens == 4U);
    CHECK(read.attention_scale == rope.attention_scale);
    CHECK(read.original_window == 256U);
    CHECK(read.target_tokens == 2048U);
}

TEST_CASE("lists that read back differently are told by index") {
    const RopeExport rope = stretched_eightfold();
    const ExportPlan plan{.rope = rope};
    const ReloadedRope same{rope.long_list.factors, rope.short_list.factors, rope.attention_scale,
                            rope.attention_scale};
    CHECK_NOTHROW(require_same_lists(plan, same));
    ReloadedRope other = same;
    other.long_factors[3] += 1e-9;
    CHECK_THROWS_WITH(require_same_lists(plan, other),
                      doctest::Contains("the long list reads back differently: factor 3 is 2"));
    other = same;
    other.short_factors.pop_back();
    CHECK_THROWS_WITH(require_same_lists(plan, other),
                      doctest::Contains("the short list reads back with 7 factors"));
    other = same;
    other.short_attention_scale = 1.0;
    CHECK_THROWS_WITH(require_same_lists(plan, other),
                      doctest::Contains("the attention scale reads back as 1"));
    other = same;
    other.start_tokens = 2;
    CHECK_THROWS_WITH(require_same_lists(plan, other),
                      doctest::Contains("2 start tokens are read back"));
}

TEST_CASE("a perplexity differs beyond a millionth of the stored one, or if it is no number") {
    ExportedRow row;
    row.perplexity = 10.0;
    CHECK_FALSE(row.differs());  // nothing stored
    for (const auto& [stored, differs] :
         {std::pair{10.0, false}, {10.000009, false}, {10.00002, true}, {9.99998, true}}) {
        row.stored = stored;
        CHECK(row.differs() == differs);
    }
    row.perplexity = std::nan("");
    CHECK(row.differs());
}
