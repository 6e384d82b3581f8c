// SPDX-License-Identifier: Apache-2.0
#include "coordinator/configuration.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/coordinator/temporary_configuration.hpp"

namespace longrope::coordinator {
namespace {

Configuration read(const std::string& text, const std::vector<Override>& overrides = {}) {
    const TemporaryConfiguration temporary{text};
    return read_configuration(temporary.file(), overrides);
}

}  // namespace

TEST_CASE("a configuration without optional settings has the declared defaults") {
    const Configuration configuration = read(complete_configuration);
    Configuration expected;
    expected.model.path = "models/demo";
    expected.documents.path = "documents/demo.h5";
    expected.run.directory = "runs/demo";
    expected.stages.resize(1);
    expected.stages[0].name = "2048";
    expected.stages[0].target_tokens = 2048;
    CHECK(configuration == expected);
}

TEST_CASE("values of every accepted form are read") {
    const Configuration configuration = read(
        "[evaluator]\nbackend = \"synthetic\"\nattention_scale = 1.10\n"
        "[evaluator.synthetic]\nfault = \"crash\"\nfault_every = 7\n"
        "[run]\ndirectory = \"runs/größe\"\nallow_mixed_numerics = true\nseed = "
        "9223372036854775807\n"
        "[[stage]]\nname = \"first stage\"\ntarget_tokens = 2_048\nmutation_probability = 1\n"
        "bound = \"1.250s\"\n[[stage]]\nname = \"second\"\ntarget_tokens = 0x1000\nbound = 8\n"
        "mutations = 0\n");
    CHECK(configuration.evaluator.attention_scale == "1.1");
    CHECK(configuration.evaluator.synthetic.fault == "crash");
    CHECK(configuration.evaluator.synthetic.fault_every == 7);
    CHECK(configuration.run.directory == "runs/größe");
    CHECK(configuration.run.allow_mixed_numerics);
    CHECK(configuration.run.seed == 9223372036854775807U);
    REQUIRE(configuration.stages.size() == 2);
    CHECK(configuration.stages[0].mutation_probability == 1.0);
    CHECK(configuration.stages[0].bound == "1.25s");
    CHECK(configuration.stages[1].target_tokens == 4096);
    CHECK(configuration.stages[1].bound == "8");
}

TEST_CASE("the last override wins over the file, before anything is checked") {
    const Configuration configuration =
        read(complete_configuration + "iterations = -1\nparents = 8\n",
             {{"stage.iterations", "3", "LONGROPE_STAGE_ITERATIONS", ""},
              {"stage.iterations", "5", "--iterations", ""},
              {"stage.population", "8", "--population", "2048"},
              {"run.directory", "elsewhere", "--run-directory", ""},
              {"evaluator.attention_scale", "1.5", "--attention-scale", ""},
              {"stage.method", "\"paper\"", "--method", ""},
              {"run.allow_mixed_numerics", "true", "--allow-mixed-numerics", ""}});
    CHECK(configuration.stages[0].iterations == 5);
    CHECK(configuration.stages[0].population == 8);
    CHECK(configuration.run.directory == "elsewhere");
    CHECK(configuration.evaluator.attention_scale == "1.5");
    CHECK(configuration.stages[0].method == "paper");
    CHECK(configuration.run.allow_mixed_numerics);
}

TEST_CASE(
    "the method \"reference\" brings its grid, bound and start tokens, and agrees with them") {
    const std::string given = "grid_step = 0.010\nbound = \"1+s\"\nstart_tokens = \"none\"\n";
    for (const std::string& text :
         {complete_configuration + "method = \"reference\"\n",
          complete_configuration + given + "method = \"reference\"\nmutations = 20\n"}) {
        const StageSettings stage = read(text).stages[0];
        CHECK(stage.method == "reference");
        CHECK(stage.grid_step == 0.01);
        CHECK(stage.bound == "1+s");
        CHECK(stage.start_tokens == "none");
    }
    const Configuration two =
        read(complete_configuration +
             "[[stage]]\nname = \"second\"\ntarget_tokens = 4096\nmethod = \"reference\"\n");
    CHECK(two.stages[0].grid_step == 0.001);
    CHECK(two.stages[1].grid_step == 0.01);
    CHECK(read(to_toml(two)) == two);
    CHECK(identity_settings(two).at("stage.second.bound") == "\"1+s\"");
}

TEST_CASE("an override with a stage's name changes that stage alone") {
    const Configuration configuration =
        read(complete_configuration + "[[stage]]\nname = \"4096\"\ntarget_tokens = 4096\n",
             {{"stage.iterations", "9", "--iterations", "4096"}});
    CHECK(configuration.stages[0].iterations == 40);
    CHECK(configuration.stages[1].iterations == 9);
}

TEST_CASE("environment variables of our prefix are settings") {
    const char* const environment[] = {"HOME=/home",
                                       "LONGROPE_RUN_DIRECTORY=runs/a=b",
                                       "LONGROPE_EVALUATOR_SYNTHETIC_DURATION_MS=2.5",
                                       "LONGROPE_STAGE_ITERATIONS=3",
                                       "LONGROPELESS=1",
                                       nullptr};
    const std::vector<Override> overrides = environment_overrides(environment);
    REQUIRE(overrides.size() == 3);
    CHECK(overrides[0].key == "run.directory");
    CHECK(overrides[0].value == "runs/a=b");
    CHECK(overrides[0].origin == "LONGROPE_RUN_DIRECTORY");
    CHECK(overrides[1].key == "evaluator.synthetic.duration_ms");
    CHECK(overrides[2].key == "stage.iterations");

    const char* const unknown[] = {"LONGROPE_EVALUATOR_TREADS=2", nullptr};
    CHECK_THROWS_WITH_AS((void)environment_overrides(unknown),
                         doctest::Contains("unknown variable LONGROPE_EVALUATOR_TREADS (did you "
                                           "mean LONGROPE_EVALUATOR_THREADS?)"),
                         ConfigurationError);
}

TEST_CASE("the largest factor follows the bound") {
    CHECK(max_factor("1.25s", 8) == 10.0);
    CHECK(max_factor("1+s", 8) == 9.0);
    CHECK(max_factor("12.5", 8) == 12.5);
    for (const char* bound :
         {"", "s", "-1s", "0s", "0.5", "2+s", "1.25 s", "infs", "nan", "1e999"}) {
        INFO(bound);
        CHECK_THROWS_AS((void)max_factor(bound, 8), ConfigurationError);
    }
}

TEST_CASE("the demo's configuration is the paper's full search") {
    const Configuration configuration =
        read_configuration(LONGROPE_SOURCE_DIR "/configs/demo.toml", {});
    REQUIRE(configuration.stages.size() == 1);
    const StageSettings& stage = configuration.stages[0];
    CHECK(stage.population + stage.iterations * (stage.mutations + stage.crossovers) == 1344);
    CHECK(stage.parents == 32);
    CHECK(stage.mutation_probability == 0.3);
    CHECK(stage.target_tokens == 2048);
}

}  // namespace longrope::coordinator
