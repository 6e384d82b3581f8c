// SPDX-License-Identifier: Apache-2.0
// What a configuration is written as: TOML, identity settings, the reference page.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/nearest_name.hpp"
#include "coordinator/setting_declarations.hpp"
#include "tests/coordinator/temporary_configuration.hpp"

namespace longrope::coordinator {
namespace {

Configuration two_stages(const std::string& backend) {
    Configuration configuration;
    configuration.model.path = "models/\"quoted\" \\ größe";
    configuration.documents = {.path = "d.h5", .search = 4, .validation = 8, .heldout = 2};
    configuration.evaluator.backend = backend;
    configuration.evaluator.attention_scale = "1.07";
    configuration.run.directory = "runs/x";
    configuration.run.seed = 9223372036854775807U;
    configuration.run.time_limit_seconds = 0.1;
    configuration.run.allow_mixed_numerics = true;
    configuration.stages.resize(2);
    configuration.stages[0].name = "a.b";
    configuration.stages[0].target_tokens = 2048;
    configuration.stages[0].grid_step = 1e-5;
    configuration.stages[1].name = "second \"stage\"";
    configuration.stages[1].target_tokens = 4096;
    configuration.stages[1].bound = "1+s";
    configuration.stages[1].mutation_probability = 1.0 / 3.0;
    return configuration;
}

}  // namespace

TEST_CASE("a configuration written as TOML reads as the same configuration") {
    Configuration synthetic = two_stages("synthetic");
    synthetic.evaluator.synthetic.duration_ms = 0.25;
    synthetic.evaluator.synthetic.fault = "hang";
    synthetic.evaluator.synthetic.theta = 500000;
    for (const Configuration& configuration : {two_stages("cpu"), synthetic}) {
        const TemporaryConfiguration temporary{to_toml(configuration)};
        INFO(to_toml(configuration));
        CHECK(read_configuration(temporary.file(), {}) == configuration);
        CHECK(parse_configuration(to_toml(configuration), "memory") == configuration);
    }
}

TEST_CASE("an error in a configuration at hand as text names the text and the line") {
    const std::string text = to_toml(two_stages("cpu")) + "no_such_key = 1\n";
    const std::string line = std::to_string(std::ranges::count(text, '\n'));
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_configuration(text, "h5 text")),
                         doctest::Contains(("h5 text:" + line + ":").c_str()), ConfigurationError);
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_configuration("a = = 1", "h5 text")),
                         doctest::Contains("h5 text:1:5:"), ConfigurationError);
}

TEST_CASE("identity settings change with the trajectory and with nothing else") {
    using Change = void (*)(Configuration&);
    const Configuration configuration = two_stages("synthetic");
    const auto identity = identity_settings(configuration);
    const std::vector<Change> of_the_trajectory = {
        [](Configuration& c) { c.model.original_window = 256; },
        [](Configuration& c) { c.documents.search = 5; },
        [](Configuration& c) { c.evaluator.precision = std::string{"bf16"}; },
        [](Configuration& c) { c.evaluator.angles = std::string{"float32"}; },
        [](Configuration& c) { c.evaluator.attention_scale = std::string{"su"}; },
        [](Configuration& c) { c.evaluator.synthetic.theta = 5; },
        [](Configuration& c) { c.run.seed = 1; },
        [](Configuration& c) { c.stages[1].population = 65; },
        [](Configuration& c) { c.stages[0].bound = std::string{"2"}; },
        [](Configuration& c) { c.stages[0].name = std::string{"c"}; },
        [](Configuration& c) { std::swap(c.stages[0], c.stages[1]); },
    };
    for (std::size_t i = 0; i < of_the_trajectory.size(); ++i) {
        INFO("change " << i);
        Configuration changed = configuration;
        of_the_trajectory[i](changed);
        CHECK(identity_settings(changed) != identity);
    }
    const std::vector<Change> of_the_operation = {
        [](Configuration& c) { c.model.path = std::string{"moved"}; },
        [](Configuration& c) { c.documents.path = std::string{"moved"}; },
        [](Configuration& c) { c.evaluator.threads = 3; },
        [](Configuration& c) { c.evaluator.isa = std::string{"avx2"}; },
        [](Configuration& c) { c.evaluator.weights = std::string{"streamed"}; },
        [](Configuration& c) { c.evaluator.synthetic.duration_ms = 3; },
        [](Configuration& c) { c.evaluator.synthetic.fault = std::string{"crash"}; },
        [](Configuration& c) { c.run.directory = std::string{"moved"}; },
        [](Configuration& c) { c.run.snapshot_seconds = 3; },
        [](Configuration& c) { c.stages[0].iterations = 80; },
    };
    for (std::size_t i = 0; i < of_the_operation.size(); ++i) {
        INFO("change " << i);
        Configuration changed = configuration;
        of_the_operation[i](changed);
        CHECK(identity_settings(changed) == identity);
    }
    CHECK(identity.at("stage.names") == R"(["a.b", "second \"stage\""])");
    CHECK(identity.at("stage.a.b.grid_step") == "1e-05");
    CHECK(identity_settings(two_stages("cpu")).count("evaluator.synthetic.theta") == 0);
}

TEST_CASE("every setting is declared once, and its default and range fit its field") {
    std::set<std::string> keys;
    std::set<std::string> variables;
    for (const Setting& setting : settings()) {
        INFO(setting.key());
        CHECK(keys.insert(setting.key()).second);
        CHECK(variables.insert(setting.environment_name()).second);
        CHECK(std::ranges::find(setting_tables(), setting.table, &SettingTable::name) !=
              setting_tables().end());
        CHECK_FALSE(setting.description.empty());
        Configuration fresh;
        fresh.stages.resize(1);
        const SettingField field = setting.field(fresh, 0);
        if (const auto* range = std::get_if<IntegerRange>(&setting.accepted)) {
            CHECK(range->low >= 0);
            if (std::holds_alternative<std::uint32_t*>(field)) {
                CHECK(range->high <= std::numeric_limits<std::uint32_t>::max());
            } else {
                CHECK(std::holds_alternative<std::uint64_t*>(field));
            }
        }
        if (setting.need == Need::optional) {
            CHECK_NOTHROW((void)check_value(parse_toml_value(field_toml(field)), setting.accepted));
        }
    }
    CHECK(declared_settings().size() == keys.size());
}

TEST_CASE("the nearest name is within a third of the unknown name") {
    const std::vector<std::string> known = {"population", "parents", "iterations"};
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"populaton", "population"},
        {"Population", "population"},
        {"parnets", "parents"},
        {"itertions", "iterations"},
        {"temperature", ""},
        {"", ""},
        {"p", ""},
    };
    for (const auto& [unknown, expected] : cases) {
        INFO(unknown);
        CHECK(nearest_name(unknown, known).value_or("") == expected);
    }
}

TEST_CASE("docs/configuration.md is what the declarations give") {
    std::ifstream file{LONGROPE_SOURCE_DIR "/docs/configuration.md", std::ios::binary};
    const std::string page{std::istreambuf_iterator<char>{file}, {}};
    INFO(
        "build the target configuration_reference and run it: configuration_reference > "
        "docs/configuration.md");
    CHECK(page == configuration_reference_markdown());
}

}  // namespace longrope::coordinator
