// SPDX-License-Identifier: Apache-2.0
// How the weights of a stage come to be.
#include "cli/waiting_stage.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/evaluator/temporary_folder.hpp"

namespace longrope::cli {
namespace {

coordinator::Configuration chain(const std::filesystem::path& tuned) {
    coordinator::Configuration configuration;
    configuration.model.path = "base";
    configuration.stages.resize(3);
    configuration.stages[0].name = "128k";
    configuration.stages[1].name = "256k";
    configuration.stages[2].name = "2048k";
    configuration.stages[2].base = "256k";
    configuration.stages[2].model = tuned.string();
    configuration.stages[2].finetune = "128k = a.toml, 256k = b.toml";
    return configuration;
}

void make_model(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    std::ofstream{folder / "config.json"} << "{}";
}

}  // namespace

TEST_CASE("trainings in a row are named one by one, each from the weights of the one before") {
    const tests::TemporaryFolder folder;
    const std::string tuned = (folder.path() / "tuned").string();
    const auto configuration = chain(tuned);
    const std::string script = ".venv/bin/python scripts/finetune.py";
    CHECK(finetune_command(configuration, 2, "run/search.h5") ==
          script + " --model base --history run/search.h5 --stage 128k --output " + tuned +
              "-128k --config a.toml");
    CHECK(
        waiting_text(configuration, 2, "h").ends_with("the next of 2 trainings that are left.\n"));

    make_model(tuned + "-128k");
    CHECK(finetune_command(configuration, 2, "run/search.h5") ==
          script + " --model " + tuned + "-128k --history run/search.h5 --stage 256k --output " +
              tuned + " --config b.toml");
    CHECK(waiting_text(configuration, 2, "h").ends_with("then run the same command again.\n"));
}

TEST_CASE("one training goes under the factors of the base, or of the stage before") {
    auto configuration = chain("tuned");
    configuration.stages[2].finetune = "a.toml";
    configuration.stages[2].base = "128k";
    REQUIRE(training_steps(configuration, 2).size() == 1);
    CHECK(training_steps(configuration, 2)[0].stage == "128k");
    configuration.stages[2].base = "";
    CHECK(training_steps(configuration, 2)[0].stage == "256k");
    CHECK(training_steps(configuration, 2)[0].model == "base");
    configuration.stages[1].model = "other";  // the factors were searched on these weights
    CHECK(training_steps(configuration, 2)[0].model == "other");
    CHECK(training_steps(configuration, 0).empty());
}

}  // namespace longrope::cli
