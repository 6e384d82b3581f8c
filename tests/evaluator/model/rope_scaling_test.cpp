// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/rope_scaling.hpp"

#include <doctest/doctest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/json_file.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using longrope::tests::TemporaryFolder;

namespace longrope::evaluator {
namespace {

/// The rotation of a folder with this config.json.
ScaledRotation rotation(const std::string& config_text, std::uint64_t positions) {
    const TemporaryFolder folder;
    folder.write("config.json", config_text);
    const ModelConfig config = read_model_config(folder.path());
    return scaled_rotation(read_rope_scaling(folder.path(), config), config, positions);
}

/// A Llama with four rotary pairs and these further keys.
std::string small_config(const std::string& more) {
    return R"({"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1,
               "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100,
               "max_position_embeddings": 256)" +
           more + "}";
}

TEST_CASE("a folder's scaling gives the frequencies and attention scale of transformers") {
    // theirs are float32: a few units in the last place of the frequencies
    const std::string file = std::string{LONGROPE_SOURCE_DIR} + "/tests/fixtures/rope_scaling.json";
    const boost::json::value cases = boost::json::parse(read_text_file(file, 1U << 20U));
    CHECK(cases.as_array().size() >= 20);
    for (const boost::json::value& example : cases.as_array()) {
        for (const boost::json::value& recorded : example.at("rotations").as_array()) {
            const auto positions = recorded.at("positions").to_number<std::uint64_t>();
            INFO(example.at("name").as_string().c_str(), ", ", positions, " positions");
            const ScaledRotation found =
                rotation(boost::json::serialize(example.at("config")), positions);
            const auto factors = boost::json::value_to<std::vector<double>>(recorded.at("factors"));
            REQUIRE(found.factors.size() == factors.size());
            for (std::size_t i = 0; i < factors.size(); ++i) {
                INFO("pair ", i);
                CHECK(std::abs(found.factors[i] / factors[i] - 1.0) <= 1e-6);
            }
            CHECK(
                found.attention_scale ==
                doctest::Approx(recorded.at("attention_scale").to_number<double>()).epsilon(1e-12));
        }
    }
}

TEST_CASE("a folder without a scaling leaves every frequency alone") {
    for (const char* more :
         {"", R"(, "rope_scaling": null)", R"(, "rope_scaling": {})",
          R"(, "rope_scaling": {"type": "default"})",
          R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4})"}) {
        INFO(more);
        const ScaledRotation found = rotation(small_config(more), 1000);
        CHECK(found.factors == std::vector<double>(4, 1.0));
        CHECK(found.attention_scale == 1.0);
    }
}

TEST_CASE("su, and yarn in a Phi-3, are longrope") {
    const std::string lists =
        R"("short_factor": [1, 1, 1, 1.5], "long_factor": [1, 2, 3, 4],
           "original_max_position_embeddings": 64)";
    for (const char* keys : {R"("model_type": "llama", "rope_scaling": {"type": "su",)",
                             R"("model_type": "phi3", "rope_scaling": {"type": "su",)",
                             R"("model_type": "phi3", "rope_scaling": {"rope_type": "yarn",)"}) {
        INFO(keys);
        std::string config = small_config(R"(, "original_max_position_embeddings": 64)");
        config.replace(config.find(R"("model_type": "llama")"), 21, keys + lists + "}");
        CHECK(rotation(config, 64).factors == std::vector<double>{1, 1, 1, 1.5});
        CHECK(rotation(config, 65).factors == std::vector<double>{1, 2, 3, 4});
        const double scale = std::sqrt(1.0 + std::log(4.0) / std::log(64.0));
        CHECK(rotation(config, 64).attention_scale == doctest::Approx(scale));
    }
}

TEST_CASE("rope_scaling wins over rope_parameters") {
    const std::string both = R"(, "rope_scaling": {"type": "linear", "factor": 2.0},
        "rope_parameters": {"rope_type": "linear", "factor": 3.0})";
    CHECK(rotation(small_config(both), 10).factors == std::vector<double>(4, 2.0));
}

TEST_CASE("a scaling that cannot be honoured is refused, naming key, value and what goes") {
    struct Refusal {
        std::string scaling;
        std::string message;
    };
    const std::string lists = R"("short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 3, 4])";
    const std::vector<Refusal> refusals{
        {R"("type": "mrope")",
         "rope_scaling.type = \"mrope\", expected \"default\", \"linear\", \"dynamic\""},
        {R"("rope_type": "ntk")", "rope_scaling.rope_type = \"ntk\", expected \"default\""},
        {R"("factor": 2.0)", "rope_scaling.rope_type is missing, expected \"default\""},
        {R"("type": "linear")", "rope_scaling.factor is missing, expected a number above 0"},
        {R"("type": "linear", "factor": 0)", "rope_scaling.factor = 0"},
        {R"("type": "linear", "factor": "2")", "rope_scaling.factor = \"2\""},
        {R"("type": "dynamic", "factor": null)", "rope_scaling.factor = null"},
        {R"("type": "yarn", "factor": -4)", "rope_scaling.factor = -4"},
        {R"("type": "yarn", "factor": 4, "beta_fast": 0)", "rope_scaling.beta_fast = 0"},
        {R"("type": "yarn", "factor": 4, "beta_fast": 2, "beta_slow": 3)",
         "rope_scaling.beta_fast = 2, expected at least beta_slow = 3"},
        {R"("type": "yarn", "factor": 4, "truncate": 1)", "rope_scaling.truncate = 1"},
        {R"("type": "yarn", "factor": 4, "mscale": -1)", "rope_scaling.mscale = -1"},
        {R"("type": "yarn", "factor": 4, "attention_factor": 0)",
         "rope_scaling.attention_factor = 0, expected a number from 0.01 to 100"},
        {R"("type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 1e9)",
         "rope_scaling.mscale_all_dim = 1E9, expected with mscale, an attention scale from 0.01"},
        {R"("type": "yarn", "factor": 4, "original_max_position_embeddings": 1)",
         "rope_scaling.original_max_position_embeddings = 1, expected an integer in [2, "},
        {R"("type": "yarn", "factor": 1e-320)", "expected a number above 0, from 1e-9 to 1e9"},
        {R"("type": "dynamic", "factor": 1e308)", "expected a number above 0, from 1e-9 to 1e9"},
        {R"("type": "yarn", "factor": 4, "mscale": 1e308, "mscale_all_dim": 1e308)",
         "rope_scaling.mscale = 1E308, expected a number from 0 to 1e9"},
        {R"("type": "llama3", "factor": 8, "low_freq_factor": 1)",
         "rope_scaling.high_freq_factor is missing"},
        {R"("type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4)",
         "rope_scaling.high_freq_factor = 4, expected a number above low_freq_factor = 4"},
        {R"("type": "longrope", "long_factor": [1, 2, 3, 4])",
         "rope_scaling.short_factor is missing, expected a list of 4 numbers above 0"},
        {R"("type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 3])",
         "rope_scaling.long_factor has 3 numbers, expected 4, one for each rotary pair"},
        {R"("type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 0, 4])",
         "rope_scaling.long_factor[2] = 0, expected a number above 0"},
        {R"("type": "longrope", "short_factor": [1, "1", 1, 1], "long_factor": [1, 2, 3, 4])",
         "rope_scaling.short_factor[1] = \"1\", expected a number above 0"},
        {R"("type": "longrope", "factor": [], )" + lists, "rope_scaling.factor = []"},
    };
    for (const Refusal& refusal : refusals) {
        INFO(refusal.scaling);
        const std::string config = small_config(R"(, "rope_scaling": {)" + refusal.scaling + "}");
        CHECK_THROWS_WITH_AS(rotation(config, 1000), doctest::Contains(refusal.message.c_str()),
                             EvaluatorError);
        CHECK_THROWS_WITH_AS(rotation(config, 1000), doctest::Contains("config.json: "),
                             EvaluatorError);
    }
}

}  // namespace
}  // namespace longrope::evaluator
