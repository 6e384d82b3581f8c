// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_folder.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "tests/evaluator/model/safetensors_builder.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using longrope::evaluator::EvaluatorError;
using longrope::evaluator::ModelFolder;
using longrope::evaluator::widen;
using longrope::tests::SafetensorsBuilder;
using longrope::tests::TemporaryFolder;

namespace {

constexpr const char* config_text = R"({
    "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 4,
    "max_position_embeddings": 16})";

const std::string one{"\x00\x00\x80\x3F", 4};
const std::string two{"\x00\x00\x00\x40", 4};

void write_single(const TemporaryFolder& folder) {
    folder.write("config.json", config_text);
    folder.write("model.safetensors", SafetensorsBuilder{}.add("a", one).add("b", two).bytes());
}

void write_index(const TemporaryFolder& folder, const std::string& weight_map) {
    folder.write(
        "model.safetensors.index.json",
        fmt::format(R"({{"metadata": {{"total_size": 8}}, "weight_map": {}}})", weight_map));
}

void write_shards(const TemporaryFolder& folder) {
    folder.write("config.json", config_text);
    folder.write("s-1.safetensors", SafetensorsBuilder{}.add("a", one).bytes());
    folder.write("s-2.safetensors", SafetensorsBuilder{}.add("b", two).bytes());
    write_index(folder, R"({"a": "s-1.safetensors", "b": "s-2.safetensors"})");
}

}  // namespace

TEST_CASE("tensors of a single file and of shards are found alike") {
    for (const bool sharded : {false, true}) {
        INFO("sharded ", sharded);
        const TemporaryFolder folder;
        sharded ? write_shards(folder) : write_single(folder);
        ModelFolder first{folder.path()};
        const ModelFolder model{std::move(first)};
        CHECK(model.config().hidden_size == 8);
        CHECK(model.has_tensor("a"));
        CHECK_FALSE(model.has_tensor("c"));
        CHECK(widen(model.tensor("a", {1})) == std::vector<float>{1.0F});
        CHECK(widen(model.tensor("b", {1})) == std::vector<float>{2.0F});
    }
}

TEST_CASE(
    "weights that are written to while they are mapped are noticed, a file in their place is not") {
    namespace fs = std::filesystem;
    const TemporaryFolder folder;
    write_shards(folder);
    const fs::path shard = folder.path() / "s-2.safetensors";
    const auto long_ago = fs::last_write_time(shard) - std::chrono::hours{1};  // clocks are coarse
    fs::last_write_time(shard, long_ago);
    const ModelFolder model{folder.path()};
    CHECK_NOTHROW(model.check_unchanged());

    fs::rename(shard, folder.path() / "moved");
    folder.write("s-2.safetensors", SafetensorsBuilder{}.add("b", one).bytes());
    CHECK_NOTHROW(model.check_unchanged());
    CHECK(widen(model.tensor("b", {1})) == std::vector<float>{2.0F});

    folder.write("moved", SafetensorsBuilder{}.add("b", one).bytes());
    CHECK_THROWS_WITH_AS(model.check_unchanged(),
                         doctest::Contains("s-2.safetensors: was written to while"),
                         EvaluatorError);
}

TEST_CASE("a missing tensor or another shape is refused, naming both shapes") {
    const TemporaryFolder folder;
    write_single(folder);
    const ModelFolder model{folder.path()};
    CHECK_THROWS_WITH_AS(
        static_cast<void>(model.tensor("model.norm.weight", {8})),
        doctest::Contains("tensor model.norm.weight is missing, expected shape [8]"),
        EvaluatorError);
    CHECK_THROWS_WITH_AS(static_cast<void>(model.tensor("a", {4, 8})),
                         doctest::Contains("tensor a has shape [1], expected [4, 8]"),
                         EvaluatorError);
}

TEST_CASE("an index that does not match its shards is refused") {
    const TemporaryFolder folder;
    write_shards(folder);
    const auto open = [&] { return ModelFolder{folder.path()}; };
    write_index(folder, R"({"a": "s-1.safetensors", "b": "s-3.safetensors"})");
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("shard s-3.safetensors is missing"),
                         EvaluatorError);
    write_index(folder, R"({"a": "s-1.safetensors", "b": "s-1.safetensors"})");
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("tensor b should lie in s-1.safetensors"),
                         EvaluatorError);
    for (const char* wrong : {"[]", "{}", "null", "3"}) {
        write_index(folder, wrong);
        CHECK_THROWS_WITH_AS(open(), doctest::Contains("weight_map"), EvaluatorError);
    }
    folder.write("model.safetensors.index.json", "{}");
    CHECK_THROWS_WITH_AS(open(), doctest::Contains("weight_map is missing"), EvaluatorError);
}

TEST_CASE("an index cannot reach outside its folder") {
    const TemporaryFolder folder;
    write_shards(folder);
    for (const std::string shard :
         {"../s-1.safetensors", "/etc/s-1.safetensors", "x/s-1.safetensors",
          "..\\\\s-1.safetensors", "..", "", ".safetensors", "s-1.bin", ".s.safetensors",
          "s-1\\u0000.safetensors"}) {
        INFO(shard);
        write_index(folder, fmt::format(R"({{"a": "{}"}})", shard));
        CHECK_THROWS_WITH_AS(ModelFolder{folder.path()},
                             doctest::Contains("expected the name of a .safetensors file"),
                             EvaluatorError);
    }
    write_index(folder, R"({"a": 1})");
    CHECK_THROWS_WITH_AS(ModelFolder{folder.path()}, doctest::Contains("tensor a lies in 1"),
                         EvaluatorError);
}

TEST_CASE("a folder without weights, or no folder, is refused, naming what belongs there") {
    const TemporaryFolder folder;
    folder.write("config.json", config_text);
    CHECK_THROWS_WITH_AS(ModelFolder{folder.path()},
                         doctest::Contains("neither model.safetensors nor"), EvaluatorError);
    CHECK_THROWS_WITH_AS(ModelFolder{folder.path() / "none"}, doctest::Contains("not a folder"),
                         EvaluatorError);
}

TEST_CASE("the digest follows the content, not the place") {
    const TemporaryFolder folder;
    const TemporaryFolder elsewhere;
    write_single(folder);
    write_single(elsewhere);
    const std::string digest = ModelFolder{folder.path()}.digest();
    CHECK(digest.size() == 64);
    CHECK(ModelFolder{elsewhere.path()}.digest() == digest);

    elsewhere.write("model.safetensors", SafetensorsBuilder{}.add("a", one).add("b", one).bytes());
    CHECK(ModelFolder{elsewhere.path()}.digest() != digest);
    elsewhere.write("model.safetensors", SafetensorsBuilder{}.add("a", one).add("c", two).bytes());
    CHECK(ModelFolder{elsewhere.path()}.digest() != digest);
    write_single(elsewhere);
    elsewhere.write("config.json", std::string{config_text} + " ");
    CHECK(ModelFolder{elsewhere.path()}.digest() != digest);
}

TEST_CASE("the digest reads small tensors whole, and of others beginning, middle and end") {
    const TemporaryFolder folder;
    folder.write("config.json", config_text);
    const std::size_t size = 1U << 20U;
    std::string large(size, '\0');
    std::string small(12 << 10U, '\0');
    const auto digest = [&] {
        folder.write("model.safetensors",
                     SafetensorsBuilder{}.add("a", large).add("b", small).add("c", large).bytes());
        return ModelFolder{folder.path()}.digest();
    };
    const std::string before = digest();
    for (const std::size_t changed : {std::size_t{0}, size / 2, size - 1}) {
        large[changed] = 'x';
        CHECK(digest() != before);
        large[changed] = '\0';
    }
    for (std::size_t changed = 0; changed < small.size(); changed += 1000) {
        small[changed] = 'x';
        CHECK(digest() != before);
        small[changed] = '\0';
    }
    CHECK(digest() == before);
}
