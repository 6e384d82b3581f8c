// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_config.hpp"

#include <doctest/doctest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using longrope::evaluator::EvaluatorError;
using longrope::evaluator::ModelConfig;
using longrope::evaluator::read_model_config;
using longrope::tests::TemporaryFolder;

namespace {

constexpr const char* small_llama = R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 384, "vocab_size": 2048,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-05, "tie_word_embeddings": true})";

/// Reads the small configuration with the keys of `changes` replaced; "erase" removes a key.
ModelConfig read_changed(const std::string& changes) {
    boost::json::object config = boost::json::parse(small_llama).as_object();
    const boost::json::value replacements = boost::json::parse(changes);
    for (const auto& [key, value] : replacements.as_object()) {
        if (value == "erase") {
            config.erase(key);
        } else {
            config[key] = value;
        }
    }
    const TemporaryFolder folder;
    folder.write("config.json", boost::json::serialize(config));
    return read_model_config(folder.path());
}

struct Refusal {
    std::string changes;
    std::string message;
};

}  // namespace

TEST_CASE("a Llama configuration gives the facts of the forward pass") {
    const ModelConfig config = read_changed("{}");
    CHECK(config.architecture == "LlamaForCausalLM");
    CHECK(config.hidden_size == 128);
    CHECK(config.layers == 6);
    CHECK(config.heads == 4);
    CHECK(config.kv_heads == 2);
    CHECK(config.head_dim == 32);
    CHECK(config.rotary_dim == 32);
    CHECK(config.rotary_pairs() == 16);
    CHECK(config.intermediate_size == 384);
    CHECK(config.vocabulary == 2048);
    CHECK(config.rope_theta == 10000.0);
    CHECK(config.rms_norm_eps == 1e-5);
    CHECK(config.tied_embeddings);
    CHECK(config.original_window() == 256);
    CHECK(config.rope_scaling_type.empty());
}

TEST_CASE("optional keys of a configuration have the defaults of transformers") {
    const ModelConfig config = read_changed(
        R"({"num_key_value_heads": null, "rms_norm_eps": "erase", "tie_word_embeddings": "erase",
            "hidden_act": "erase", "architectures": "erase", "rope_scaling": null})");
    CHECK(config.kv_heads == 4);
    CHECK(config.rms_norm_eps == 1e-6);
    CHECK_FALSE(config.tied_embeddings);
    CHECK(config.architecture == "LlamaForCausalLM");
}

TEST_CASE("the RoPE base is read in the spelling of transformers 4 and of 5") {
    CHECK(read_changed(R"({"rope_theta": 500000.0})").rope_theta == 500000.0);
    CHECK(read_changed(R"({"rope_theta": 100000})").rope_theta == 100000.0);
    const ModelConfig newer =
        read_changed(R"({"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}})");
    CHECK(newer.rope_theta == 1000000.0);
    CHECK(newer.rope_scaling_type.empty());
    CHECK_THROWS_WITH_AS(
        read_changed(R"({"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 20000.0}})"),
        doctest::Contains("rope_parameters.rope_theta = 2E4, expected the top level's"),
        EvaluatorError);
}

TEST_CASE("the scaling that a folder brings is noted, not applied") {
    const ModelConfig llama3 = read_changed(
        R"({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3",
            "factor": 8.0, "original_max_position_embeddings": 8192}})");
    CHECK(llama3.rope_scaling_type == "llama3");
    CHECK(llama3.original_window() == 8192);
    CHECK(
        read_changed(R"({"rope_scaling": {"type": "linear", "factor": 2.0}})").rope_scaling_type ==
        "linear");
    CHECK(read_changed(R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}})")
              .rope_scaling_type == "yarn");
}

TEST_CASE("the original window prefers the trained one to the claimed one") {
    CHECK(read_changed(R"({"sliding_window": 128})").original_window() == 128);
    CHECK(read_changed(R"({"sliding_window": 128, "original_max_position_embeddings": 64})")
              .original_window() == 64);
}

TEST_CASE("each architecture brings its biases, norms, fused weights and defaults") {
    const auto read = [](const std::string& model_type, const std::string& more = "") {
        return read_changed(
            R"({"architectures": "erase", "rms_norm_eps": "erase", "model_type": ")" + model_type +
            "\"" + more + "}");
    };
    CHECK_FALSE(read("llama").query_key_value_bias);
    const ModelConfig biased_llama = read("llama", R"(, "attention_bias": true)");
    CHECK(biased_llama.query_key_value_bias);
    CHECK(biased_llama.output_bias);
    const std::string long_window = R"(, "max_position_embeddings": 32768)";
    CHECK(read("mistral").architecture == "MistralForCausalLM");
    CHECK(read("mistral", long_window).original_window() == 4096);
    CHECK(read("mistral", long_window + R"(, "sliding_window": null)").original_window() == 32768);
    CHECK(read("mistral", R"(, "num_key_value_heads": "erase", "num_attention_heads": 32)")
              .kv_heads == 8);
    for (const char* qwen : {"qwen2", "qwen3"}) {
        CHECK(
            read(qwen, R"(, "num_key_value_heads": "erase", "num_attention_heads": 64)").kv_heads ==
            32);
        CHECK(read(qwen, R"(, "num_key_value_heads": null, "num_attention_heads": 64)").kv_heads ==
              64);
        CHECK(read(qwen, long_window + R"(, "use_sliding_window": true)").original_window() ==
              4096);
    }
    const ModelConfig qwen2 = read("qwen2");
    CHECK(qwen2.query_key_value_bias);
    CHECK_FALSE(qwen2.output_bias);
    const ModelConfig qwen3 = read("qwen3");
    CHECK(qwen3.head_norms);
    CHECK(qwen3.head_dim == 128);  // not 128 / 4
    CHECK_FALSE(qwen3.query_key_value_bias);
    const ModelConfig phi3 = read("phi3", R"(, "max_position_embeddings": 131072)");
    CHECK(phi3.fused_projections);
    CHECK(phi3.rms_norm_eps == 1e-5);
    CHECK(phi3.original_window() == 4096);
    // As its class has it: what a scaling says counts for others only.
    CHECK(read("phi3", R"(, "max_position_embeddings": 131072, "rope_scaling": {"type": "su",
               "original_max_position_embeddings": 8192})")
              .original_window() == 4096);
}

TEST_CASE("a Qwen's sliding window counts only where it is in use") {
    const std::string qwen =
        R"({"architectures": "erase", "model_type": "qwen2", "sliding_window": 128)";
    CHECK(read_changed(qwen + "}").original_window() == 256);
    CHECK(read_changed(qwen + R"(, "use_sliding_window": true})").original_window() == 128);
}

TEST_CASE("the head dimension may be explicit and rotate in part") {
    const ModelConfig config = read_changed(R"({"head_dim": 80, "partial_rotary_factor": 0.4})");
    CHECK(config.head_dim == 80);
    CHECK(config.rotary_dim == 32);
    CHECK(read_changed(R"({"head_dim": 80, "rope_parameters": {"partial_rotary_factor": 0.5}})")
              .rotary_dim == 40);
}

TEST_CASE("a configuration that cannot be used is refused, naming key, value and what goes") {
    const std::vector<Refusal> refusals{
        {R"({"architectures": ["GPT2LMHeadModel"]})",
         "architectures = [\"GPT2LMHeadModel\"], expected a list with one of "
         "\"LlamaForCausalLM\", \"MistralForCausalLM\", \"Qwen2ForCausalLM\", "
         "\"Qwen3ForCausalLM\", \"Phi3ForCausalLM\""},
        {R"({"architectures": "LlamaForCausalLM"})",
         "architectures = \"LlamaForCausalLM\", expected a list with one of"},
        {R"({"architectures": [], "model_type": "llama"})", "architectures = []"},
        {R"({"architectures": "erase", "model_type": "erase"})", "architectures is missing"},
        {R"({"model_type": "mamba"})",
         "model_type = \"mamba\", expected \"llama\", which goes with LlamaForCausalLM"},
        {R"({"architectures": "erase", "model_type": "mamba"})",
         "model_type = \"mamba\", expected one of \"llama\", \"mistral\", \"qwen2\""},
        {R"({"hidden_act": "gelu"})", "hidden_act = \"gelu\", expected \"silu\""},
        {R"({"architectures": "erase", "model_type": "mistral", "attention_bias": true})",
         "attention_bias = true, expected false: MistralForCausalLM has no biases"},
        {R"({"mlp_bias": true})", "mlp_bias = true, expected false"},
        {R"({"attention_bias": 1})", "attention_bias = 1, expected true or false"},
        {R"({"quantization_config": {"bits": 4}})", "quantised weights are not supported"},
        {R"({"hidden_size": "erase"})", "hidden_size is missing, expected an integer in [1, "},
        {R"({"hidden_size": 0})", "hidden_size = 0"},
        {R"({"hidden_size": -128})", "hidden_size = -128"},
        {R"({"hidden_size": 128.0})", "hidden_size = 1.28E2"},
        {R"({"hidden_size": "128"})", "hidden_size = \"128\""},
        {R"({"hidden_size": 4294967296})", "hidden_size = 4294967296"},
        {R"({"hidden_size": 130})",
         "hidden_size = 130, expected a multiple of num_attention_heads"},
        {R"({"hidden_size": 4})",
         "head_dim is missing, expected hidden_size / num_attention_heads"},
        {R"({"num_key_value_heads": 3})", "num_key_value_heads = 3, expected a divisor"},
        {R"({"num_hidden_layers": 100000})", "num_hidden_layers = 100000"},
        {R"({"vocab_size": 999999999})", "vocab_size = 999999999"},
        {R"({"intermediate_size": []})", "intermediate_size = []"},
        {R"({"max_position_embeddings": 3000000000})", "max_position_embeddings = 3000000000"},
        {R"({"head_dim": 33})", "head_dim = 33, expected an even number"},
        {R"({"head_dim": 33, "partial_rotary_factor": 0.97})", "head_dim = 33, expected an even"},
        {R"({"hidden_size": 36})",
         "head_dim is missing, expected hidden_size / "
         "num_attention_heads = 36 / 4 to be an even number in [2, "},
        {R"({"max_position_embeddings": 1})", "max_position_embeddings = 1, expected an integer"},
        {R"({"rope_theta": "erase", "rope_scaling": {"type": "linear", "factor": 2.0},
             "rope_parameters": {"rope_theta": 5e5}})",
         "rope_parameters.rope_theta = 5E5, expected 10000 as in rope_scaling, which wins"},
        {R"({"partial_rotary_factor": 0.01})", "the rotary dimension is 0"},
        {R"({"partial_rotary_factor": 1.5})", "partial_rotary_factor = 1.5E0"},
        {R"({"rope_theta": 1})", "rope_theta = 1, expected a number above 1"},
        {R"({"rope_theta": 1e16})", "rope_theta = 1E16"},
        {R"({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}})",
         "rope_parameters.full_attention = {\"rope_theta\":1E4}, expected a number"},
        {R"({"rope_theta": "10000"})", "rope_theta = \"10000\""},
        {R"({"rope_parameters": {"rope_theta": -1}})", "rope_parameters.rope_theta = -1"},
        {R"({"rope_scaling": "linear"})", "rope_scaling = \"linear\", expected a JSON object"},
        {R"({"rope_scaling": {"type": 3}})", "rope_scaling.type = 3, expected a string"},
        {R"({"rms_norm_eps": 0})", "rms_norm_eps = 0"},
    };
    for (const Refusal& refusal : refusals) {
        INFO(refusal.changes);
        CHECK_THROWS_WITH_AS(read_changed(refusal.changes),
                             doctest::Contains(refusal.message.c_str()), EvaluatorError);
    }
}

TEST_CASE("a byte-order mark before a configuration is skipped") {
    const TemporaryFolder folder;
    folder.write("config.json", std::string{"\xef\xbb\xbf"} + small_llama);
    CHECK(read_model_config(folder.path()).hidden_size == 128);
}

TEST_CASE("a config.json that is missing or no JSON object is refused, naming the file") {
    const TemporaryFolder folder;
    const auto read = [&] { return read_model_config(folder.path()); };
    CHECK_THROWS_WITH_AS(read(),
                         doctest::Contains("config.json: no such file, expected a text file"),
                         EvaluatorError);
    folder.write("config.json", "[1, 2]");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("found [1,2], expected a JSON object"),
                         EvaluatorError);
    folder.write("config.json", R"({"hidden_size": 12)");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("not valid JSON"), EvaluatorError);
    folder.write("config.json", R"({"hidden_size": NaN})");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("not valid JSON"), EvaluatorError);
    folder.write("config.json",
                 R"({"a": {"b": 1, "c": {"b": 1}, "d": [{"b": 2}, {"b": 2}], "b": 2}})");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("the key \"b\" is given twice in one object"),
                         EvaluatorError);
    folder.write("config.json", R"({"key": 1, "a": "key", "k\u0065y": 2})");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("the key \"key\" is given twice"),
                         EvaluatorError);
    folder.write("config.json", R"({"a": {"b": 1, "c": {"b": 1}, "d": [{"b": 2}, {"b": 2}]}})");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("architectures"), EvaluatorError);
    folder.write("config.json", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 1e400})");
    CHECK_THROWS_AS(read(), EvaluatorError);
    folder.write("config.json", "{} {}");
    CHECK_THROWS_WITH_AS(read(), doctest::Contains("at byte 3 of 5"), EvaluatorError);
}
