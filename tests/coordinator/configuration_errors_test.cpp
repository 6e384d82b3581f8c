// SPDX-License-Identifier: Apache-2.0
// What the configuration's errors say.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "tests/coordinator/temporary_configuration.hpp"

namespace longrope::coordinator {
namespace {

const std::string& complete = complete_configuration;  // short, for the table of cases

/// The message of the error that reading `text` ends with; its folder is left out.
std::string error_of(const std::string& text, const std::vector<Override>& overrides = {}) {
    const TemporaryConfiguration temporary{text};
    try {
        (void)read_configuration(temporary.file(), overrides);
    } catch (const ConfigurationError& error) {
        std::string message = error.what();
        const std::string folder = temporary.folder().string() + "/";
        for (std::size_t at = 0; (at = message.find(folder)) != std::string::npos;) {
            message.erase(at, folder.size());
        }
        return message;
    }
    return "";
}

std::string many(const std::string& part, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += part;
    return text;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a bad configuration is refused with place, key, what was found and what is accepted") {
    struct Case {
        std::string name;
        std::string text;
        std::vector<std::string> parts;  ///< of the message
    };
    const std::string synthetic = "[evaluator]\nbackend = \"synthetic\"\n";
    const std::vector<Case> cases = {
        {"syntax", complete + "parents = = 2\n", {"c.toml:10:11: "}},
        {"the same key twice", complete + "name = \"x\"\n", {"c.toml:10:", "redefine"}},
        {"not UTF-8", complete + "method = \"\xff\"\n", {"c.toml:10:10: ", "invalid utf-8"}},
        {"unknown key",
         complete + "populaton = 3\n",
         {"c.toml:10: unknown key stage.populaton", "did you mean stage.population?",
          "Keys of stage: name, target_tokens, kind"}},
        {"key of another table",
         complete + "seed = 3\n",
         {"c.toml:10: unknown key stage.seed", "did you mean run.seed?"}},
        {"key without table",
         "iterations = 3\n" + complete,
         {"c.toml:1: unknown key iterations", "did you mean stage.iterations?"}},
        {"unknown key like no other",
         complete + "[run.x]\n",
         {"c.toml:10: unknown table [run.x]", "Known tables: model, documents"}},
        {"unknown table",
         complete + "[evalautor]\n",
         {"c.toml:10: unknown table [evalautor]", "did you mean [evaluator]?"}},
        {"a table named as several",
         complete + "[[stages]]\n",
         {"c.toml:10: unknown table [stages]", "did you mean [[stage]]?"}},
        {"a table where a value belongs",
         complete + "[evaluator.threads]\n",
         {"c.toml:10: evaluator.threads: found a table, expected integer"}},
        {"a value where a table belongs",
         "evaluator = 3\n" + complete,
         {"c.toml:1: evaluator is a table: write [evaluator]"}},
        {"stage as a plain table",
         "[stage]\nname = \"a\"\n",
         {"c.toml:1: found [stage], expected [[stage]]"}},
        {"two models",
         "[[model]]\n" + complete.substr(8),
         {"c.toml:1: found [[model]], expected [model]"}},
        {"no stage", "[run]\ndirectory = \"d\"\n", {"c.toml: no [[stage]]"}},
        {"empty file", "", {"c.toml: no [[stage]]"}},

        {"a key that nests too deep",
         complete + "x = 1\n\n" + many("a.", 300'000) + "a = 1\n",
         {"c.toml:12: more than 256 dots outside of texts"}},
        {"a table that nests too deep",
         "# " + many(".", 1000) + "\n[" + many("a.", 300'000) + "a]\n",
         {"c.toml:2: more than 256 dots outside of texts"}},
        {"keys that nest too deep in values",
         complete + "x = [\n" + many("{y.y.y.y=[\n", 100),
         {"c.toml:96: more than 256 dots"}},
        {"a deep key behind texts that end oddly",
         complete + "x = ['''\n''''', \"\"\"\\\"\"\"\"\"\", \"\\\"\", '\\', {" +
             many("a.", 300'000) + "a=1}]\n",
         {"c.toml:11: more than 256 dots"}},
        {"a key with a letter outside of ASCII",
         "# größer\n" + complete + "größe = 3\n",
         {"c.toml:11: a character that is not ASCII, outside of texts and comments"}},
        {"letters outside of ASCII behind stray quotation marks",
         complete + "mutations = 3'é'\n",
         {"c.toml:10: a quotation mark within a word"}},
        {"the same behind a dot",
         complete + "mutations = 3.\"é\"\n",
         {"c.toml:10: a quotation mark within a word"}},
        {"the same behind an equals sign",
         complete + "mutations = [1, 3=\"é\"]\n",
         {"c.toml:10: a quotation mark within a word"}},
        {"the same behind a bracket",
         complete + "mutations = 3[\"é\"]\n",
         {"c.toml:10: a quotation mark within a word"}},
        {"an unknown key of a million characters",
         many("a", 1'000'000) + " = 1\n" + complete,
         {"c.toml:1: unknown key aaaa"}},

        {"text for an integer",
         complete + "population = \"64\"\n",
         {"c.toml:10: stage.population: found \"64\" (text), expected integer: [2, 1000000]",
          "size of the first population"}},
        {"a real number for an integer",
         complete + "population = 64.5\n",
         {"c.toml:10: stage.population: found 64.5 (a real number), expected integer"}},
        {"an integer for text",
         complete + "method = 3\n",
         {"c.toml:10: stage.method: found 3 (an integer), expected text: \"paper\""}},
        {"an array",
         complete + "iterations = [1, 2]\n",
         {"c.toml:10: stage.iterations: found an array, expected integer"}},
        {"a date",
         complete + "iterations = 2024-01-01\n",
         {"c.toml:10: stage.iterations: found a date or time, expected integer"}},
        {"an integer for a truth value",
         "run.allow_mixed_numerics = 1\n[[stage]]\n",
         {"c.toml:1: run.allow_mixed_numerics: found 1 (an integer), expected true or false"}},

        {"population too small",
         complete + "population = 1\n",
         {"c.toml:10: stage.population: found 1, accepted: [2, 1000000] individuals"}},
        {"parents too few", complete + "parents = 1\n", {"c.toml:10: stage.parents: found 1"}},
        {"a negative number",
         complete + "mutations = -1\n",
         {"c.toml:10: stage.mutations: found -1, accepted: [0, 1000000]"}},
        {"target too short",
         "[[stage]]\nname = \"a\"\ntarget_tokens = 1\n",
         {"c.toml:3: stage.target_tokens: found 1, accepted: [2, 2147483647] tokens"}},
        {"probability above 1",
         complete + "mutation_probability = 1.5\n",
         {"c.toml:10: stage.mutation_probability: found 1.5, accepted: [0, 1]"}},
        {"probability not a number",
         complete + "mutation_probability = nan\n",
         {"c.toml:10: stage.mutation_probability: found nan, accepted: [0, 1]"}},
        {"no grid",
         complete + "grid_step = 0\n",
         {"c.toml:10: stage.grid_step: found 0, accepted: (0, 1]"}},
        {"window of one token",
         "[model]\noriginal_window = 1\n" + complete.substr(8),
         {"c.toml:2: model.original_window: found 1, accepted: 0 or [7, 2147483647] tokens"}},
        {"hasty watchdog",
         "run.watchdog_seconds = 0.5\nrun.directory = \"d\"\n[[stage]]\n",
         {"c.toml:1: run.watchdog_seconds: found 0.5, accepted: [1, 1000000000] seconds"}},
        {"control character in a path",
         "run.directory = \"a\\u0000b\"\n[[stage]]\n",
         {"c.toml:1: run.directory: found \"a\\u0000b\"", "without control characters"}},

        {"unknown word",
         complete + "start_tokens = \"genes\"\n",
         {"c.toml:10: stage.start_tokens: found \"genes\", accepted: \"gene\", \"sweep\", \"none\"",
          "did you mean \"gene\"?"}},
        {"planned method",
         complete + "method = \"cma\"\n",
         {"c.toml:10: stage.method: found \"cma\", which is planned, but not in this version; "
          "accepted: \"paper\""}},
        {"a grid step that the reference does not have",
         complete + "method = \"reference\"\nbound = \"1+s\"\ngrid_step = 0.001\n",
         {"c.toml:12: stage.grid_step = 0.001, but stage.method = \"reference\" (c.toml:10).",
          "The reference's search has stage.grid_step = 0.01: leave the setting out"}},
        {"a bound that the reference does not have",
         complete + "bound = \"1.25s\"\nmethod = \"reference\"\n",
         {"c.toml:10: stage.bound = \"1.25s\", but stage.method = \"reference\" (c.toml:11).",
          "The reference's search has stage.bound = \"1+s\""}},
        {"start tokens that the reference does not have",
         complete + "start_tokens = \"sweep\"\nmethod = \"reference\"\n",
         {"c.toml:10: stage.start_tokens = \"sweep\", but stage.method = \"reference\"",
          "The reference's search has stage.start_tokens = \"none\""}},
        {"planned schedule",
         complete + "schedule = \"pipelined\"\n",
         {"c.toml:10: stage.schedule", "planned", "accepted: \"generational\""}},
        {"bound without meaning",
         complete + "bound = \"s1.25\"\n",
         {"c.toml:10: stage.bound: found \"s1.25\", accepted: ", "\"1.25s\", \"1+s\""}},
        {"bound below 1", complete + "bound = 0.5\n", {"c.toml:10: stage.bound: found \"0.5\""}},
        {"attention scale of 0",
         "[evaluator]\nattention_scale = 0\n" + complete,
         {"c.toml:2: evaluator.attention_scale: found \"0\", accepted: \"su\", \"yarn\""}},

        {"no run directory",
         "[[stage]]\nname = \"a\"\ntarget_tokens = 8\n[evaluator]\nbackend = \"synthetic\"\n",
         {"c.toml: run.directory is not set", "LONGROPE_RUN_DIRECTORY"}},
        {"empty run directory",
         synthetic + "[run]\ndirectory = \"\"\n[[stage]]\nname = \"a\"\ntarget_tokens = 8\n",
         {"c.toml:4: run.directory is empty"}},
        {"no model",
         complete.substr(complete.find("[documents]")),
         {"c.toml: model.path is not set, but evaluator.backend = \"auto\" (default) needs it",
          "LONGROPE_MODEL_PATH"}},
        {"no documents",
         complete.substr(0, 29) + complete.substr(complete.find("[run]")),
         {"c.toml: documents.path is not set"}},
        {"stage without name",
         complete + "[[stage]]\ntarget_tokens = 4096\n",
         {"c.toml:10: stage.name is not set"}},
        {"stage without target",
         complete + "[[stage]]\nname = \"a\"\n",
         {"c.toml:10: stage.target_tokens is not set"}},
        {"empty stage name",
         complete + "[[stage]]\nname = \"\"\ntarget_tokens = 8\n",
         {"c.toml:11: stage.name: found \"\", accepted: 1 to 64 bytes"}},
        {"stage name with a slash",
         complete + "[[stage]]\nname = \"a/b\"\ntarget_tokens = 8\n",
         {"c.toml:11: stage.name: found \"a/b\", accepted: 1 to 64 bytes without '/'"}},
        {"stage name with a control character",
         complete + "[[stage]]\nname = \"a\\tb\"\ntarget_tokens = 8\n",
         {"c.toml:11: stage.name: found \"a\\u0009b\""}},
        {"stage named as the stream of the documents",
         complete + "[[stage]]\nname = \"documents\"\ntarget_tokens = 8\n",
         {"c.toml:11: stage.name: found \"documents\""}},

        {"stages of one name",
         complete + "[[stage]]\nname = \"2048\"\ntarget_tokens = 4096\n",
         {"c.toml:11: stage.name = \"2048\", but so is that of c.toml:8"}},
        {"fewer evaluations than the first population has",
         complete + "max_evaluations = 20\n",
         {"c.toml:10: stage.max_evaluations = 20, but stage.population = 64 (default).\n",
          "use stage.max_evaluations of at least 64, or 0"}},
        {"more parents than the default population",
         complete + "parents = 96\n",
         {"c.toml:10: stage.parents = 96, but stage.population = 64 (default).\n",
          "use stage.parents in [2, 64]"}},
        {"population below the default parents",
         complete + "population = 16\n",
         {"c.toml:10: stage.population = 16, but stage.parents = 32 (default).\n",
          "use stage.parents in [2, 16]"}},
        {"both given",
         complete + "population = 16\nparents = 17\n",
         {"c.toml:11: stage.parents = 17, but stage.population = 16 (", "c.toml:10)"}},
        {"no children",
         complete + "mutations = 0\ncrossovers = 0\n",
         {"c.toml:11: stage.crossovers = 0, but stage.mutations = 0 (", "c.toml:10)",
          "at least 1"}},
        {"more individuals than numbers",
         complete + "mutations = 100000\niterations = 100000\n",
         {"c.toml:11: stage.iterations = 100000 gives ", "use stage.iterations in [0, 21471]"}},
        {"a GPU asked for float32",
         complete + "[evaluator]\nbackend = \"cuda\"\n",
         {"c.toml:11: evaluator.backend = \"cuda\"", "evaluator.precision = \"f32\" (default)",
          "use evaluator.precision = \"bf16\""}},
        {"synthetic keys for a real model",
         complete + "[evaluator.synthetic]\ndimensions = 8\n",
         {"c.toml:11: evaluator.synthetic.dimensions = 8, but evaluator.backend = \"auto\" "
          "(default)",
          "go with evaluator.backend = \"synthetic\""}},
    };
    for (const Case& bad : cases) {
        const std::string message = error_of(bad.text);
        INFO(bad.name << ": " << message);
        for (const std::string& part : bad.parts) {
            INFO("expected: " << part);
            CHECK(contains(message, part));
        }
    }
}

TEST_CASE("a file that cannot be read is named with the reason") {
    const TemporaryConfiguration temporary{std::string(std::size_t{1} << 21, '#')};
    CHECK_THROWS_WITH_AS((void)read_configuration("no/such.toml", {}),
                         doctest::Contains("no/such.toml: no such file"), ConfigurationError);
    CHECK_THROWS_WITH_AS((void)read_configuration(temporary.folder(), {}),
                         doctest::Contains("is a directory"), ConfigurationError);
    CHECK_THROWS_WITH_AS((void)read_configuration(temporary.file(), {}),
                         doctest::Contains("longer than 1048576 bytes"), ConfigurationError);
}

TEST_CASE("a bad override is refused under its own name") {
    struct Case {
        Override override;
        std::vector<std::string> parts;
    };
    const std::string two = complete + "[[stage]]\nname = \"4096\"\ntarget_tokens = 4096\n";
    const std::vector<Case> cases = {
        {{"stage.population", "many", "--population", "2048"},
         {"--population: stage.population: found \"many\" (text), expected integer"}},
        {{"run.seed", "1\nrun.x = 2", "--seed", ""},
         {"--seed: run.seed: found \"1\\u000Arun.x = 2\" (text), expected integer"}},
        {{"run.seed", "", "LONGROPE_RUN_SEED", ""},
         {"LONGROPE_RUN_SEED: run.seed: found \"\" (text), expected integer"}},
        {{"run.seed", "-1", "--seed", ""}, {"--seed: run.seed: found -1, accepted: [0, "}},
        {{"run.directory", "\xff", "--run-directory", ""},
         {"--run-directory: run.directory: ", "invalid utf-8"}},
        {{"run.seed", "1\n" + many("a.", 60'000) + "a = 1", "--seed", ""},
         {"--seed: run.seed: found ", "(text), expected integer"}},
        {{"run.seed", "fünf", "--seed", ""}, {"--seed: run.seed: found \"fünf\" (text), expected"}},
        {{"run.sede", "1", "--set", ""}, {"--set: unknown key run.sede", "run.seed?"}},
        {{"stage.parents", "96", "--parents", "4096"},
         {"--parents: stage.parents = 96, but stage.population = 64 (default)"}},
        {{"stage.iterations", "9", "--iterations", ""},
         {"--iterations: stage.iterations is for one stage, but ", "has 2: \"2048\", \"4096\"",
          "--stage"}},
        {{"stage.iterations", "9", "--iterations", "8192"},
         {"--iterations: no stage is named \"8192\"", "\"2048\", \"4096\""}},
    };
    for (const Case& bad : cases) {
        const std::string message = error_of(two, {bad.override});
        INFO(message);
        for (const std::string& part : bad.parts) {
            INFO("expected: " << part);
            CHECK(contains(message, part));
        }
    }
}

}  // namespace longrope::coordinator
