// SPDX-License-Identifier: Apache-2.0
// What stages say of each other, and what follows where they say nothing.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <string>

#include "coordinator/configuration.hpp"
#include "coordinator/objective.hpp"
#include "coordinator/trainings.hpp"
#include "tests/coordinator/temporary_configuration.hpp"

namespace longrope::coordinator {
namespace {

/// The complete configuration, whose stage is "2048", and this text after it.
Configuration with(const std::string& text) {
    return parse_configuration(complete_configuration + text, "c.toml");
}

std::string error_of(const std::string& text) {
    try {
        (void)with(text);
    } catch (const ConfigurationError& error) {
        return error.what();
    }
    return "";
}

std::string next(const std::string& keys, std::uint64_t target = 4096) {
    return "[[stage]]\nname = \"next\"\ntarget_tokens = " + std::to_string(target) + "\n" + keys;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("sizes that are not given are half as large from 512k tokens on") {
    for (const std::uint64_t target : {524287U, 524288U, 2097152U}) {
        INFO(target);
        const std::uint32_t share = target < 524288 ? 1 : 2;
        const Configuration configuration = with(next("mutations = 16\n", target));
        const StageSettings& stage = configuration.stages[1];
        CHECK(stage.population == 64 / share);
        CHECK(stage.parents == 32 / share);
        CHECK(stage.mutations == 16);  // given
        CHECK(stage.crossovers == 16 / share);
        CHECK(stage.iterations == 40);
        // Written and read again, all of them are given: nothing is halved twice.
        CHECK(parse_configuration(to_toml(configuration), "memory") == configuration);
    }
}

TEST_CASE("a recovery has a bound of its own unless one is given") {
    const Configuration plain = with(next("kind = \"recovery\"\nbase = \"2048\"\n", 256));
    CHECK(plain.stages[1].bound == "1+s");
    CHECK(plain.stages[0].bound == "1.25s");
    const Configuration given =
        with(next("kind = \"recovery\"\nbase = \"2048\"\nbound = 4\n", 256));
    CHECK(given.stages[1].bound == "4");
    CHECK(parse_configuration(to_toml(given), "memory") == given);
}

TEST_CASE("a stage may have numbers of documents of its own") {
    const Configuration configuration =
        with("search_documents = 2\nheldout_documents = \"0\"\n" + next(""));
    CHECK(configuration.stages[0].search_documents == "2");
    CHECK(configuration.stages[0].validation_documents.empty());
    CHECK(configuration.stages[0].heldout_documents == "0");
    CHECK(configuration.stages[1].search_documents.empty());
    CHECK(parse_configuration(to_toml(configuration), "memory") == configuration);
    const auto identity = identity_settings(configuration);
    CHECK(identity.at("stage.2048.search_documents") == "\"2\"");
    CHECK_FALSE(identity.contains("stage.2048.validation_documents"));
    for (const char* text :
         {"search_documents = 1.5\n", "search_documents = -1\n", "search_documents = \"some\"\n"}) {
        INFO(text);
        CHECK(contains(error_of(text), "stage.search_documents: found "));
    }
}

TEST_CASE("an objective is a table, inline or not, or its text") {
    const char* const expected = "256 = 0.5, 2048 = 1.5";
    for (const char* text :
         {"objective = { \"2048\" = 1.5, \"256\" = 0.5 }\n",
          "objective = { 2048 = 1.5, 256 = 0.5 }\n", "[stage.objective]\n256 = 0.5\n2048 = 1.5\n",
          "objective = \"2048=1.5,256 = 0.5\"\n"}) {
        INFO(text);
        const Configuration configuration = with(text);
        CHECK(configuration.stages[0].objective == expected);
        CHECK(parse_configuration(to_toml(configuration), "memory") == configuration);
    }
    CHECK(with("objective = {}\n").stages[0].objective.empty());
    CHECK(normalised(*parse_objective(expected)) ==
          std::vector<ScoredLength>{{256, 0.25}, {2048, 0.75}});
    for (const char* text :
         {"", "256", "256 = ", "= 1", "256 = 1,", "1 = 1", "256 = 0", "256 = -1", "256 = inf",
          "256 = nan", "256 = 1, 256 = 2", "2.5 = 1", "4294967296 = 1"}) {
        INFO(text);
        CHECK_FALSE(parse_objective(text));
    }
}

TEST_CASE("trainings are one file, or several in a row under the factors of named stages") {
    const auto trainings = [](const char* text) { return parse_trainings(text); };
    CHECK(trainings("") == std::vector<Training>{});
    CHECK(trainings("a/b c.toml") == std::vector<Training>{{"", "a/b c.toml"}});
    const std::vector<Training> two{{"256k", "first.toml"}, {"128k", "second.toml"}};
    CHECK(trainings(" 256k = first.toml,128k =  second.toml ") == two);
    CHECK(parse_trainings(trainings_text(two)) == two);
    for (const char* text : {"a = b, ", "a = b, c", "= b", " = b", "a = ", "=", "a = b, a = c"}) {
        INFO(text);
        CHECK_FALSE(trainings(text));
    }
    const Configuration named = with(next("finetune = \"2048=a.toml\"\n"));
    CHECK(named.stages[1].finetune == "2048 = a.toml");
    CHECK(parse_configuration(to_toml(named), "memory") == named);
    CHECK(contains(error_of(next("finetune = \"204 = a.toml\"\n")),
                   "c.toml:13: stage.finetune = \"204 = a.toml\": no earlier search is named "
                   "\"204\".\nWeights are trained under the factors of an earlier stage: "
                   "\"2048\"."));
    CHECK(contains(error_of("finetune = \"2048 = a.toml\"\n"), "and there is none"));
    CHECK(contains(error_of(next("finetune = \"2048 = a.toml, b.toml\"\n")),
                   "accepted: a file, or trainings such as"));
}

TEST_CASE("weights of an objective add up to 1 whatever their size, and none of them is lost") {
    for (const char* weight : {"1e308", "1.7976931348623157e308", "1e-300", "5e-324"}) {
        INFO(weight);
        const std::string text = fmt::format("256 = {0}, 2048 = {0}", weight);
        CHECK(normalised(*parse_objective(text)) ==
              std::vector<ScoredLength>{{256, 0.5}, {2048, 0.5}});
    }
    const auto uneven = normalised(*parse_objective("256 = 1e308, 512 = 1e10, 2048 = 1.5e308"));
    CHECK(uneven[0].weight == doctest::Approx(0.4));
    CHECK(uneven[1].weight > 0.0);
    CHECK(uneven[2].weight == doctest::Approx(0.6));
    CHECK(parse_objective("256 = 1e-300, 2048 = 1"));
    for (const char* text : {"256 = 1e-301, 2048 = 1", "256 = 1e-20, 2048 = 1e300"}) {
        INFO(text);
        CHECK_FALSE(parse_objective(text));
    }
}

TEST_CASE("stages that do not fit each other are refused with what would") {
    CHECK(
        contains(error_of(next("base = \"204\"\n")),
                 "c.toml:13: stage.base = \"204\": there is no such stage.\nA stage builds on the "
                 "result of an earlier one: the stages before this one are \"2048\"."));
    CHECK(contains(error_of("base = \"2048\"\n"), "that is this stage itself"));
    CHECK(contains(error_of("base = \"next\"\n" + next("")), "that stage comes later"));
    CHECK(contains(error_of(next("base = \"2048\"\n", 2048)),
                   "stage.target_tokens = 2048, but that of its base \"2048\" is 2048 (c.toml:13)."
                   "\nA stage with a base extends that further: use a target above that of the "
                   "base."));
    CHECK(contains(error_of(next("kind = \"recovery\"\n", 256)),
                   "c.toml:13: stage.kind = \"recovery\", but stage.base is not given."));
    CHECK(contains(error_of(next("kind = \"recovery\"\nbase = \"2048\"\n", 2048)),
                   "use a target below that of the base"));
    CHECK(contains(
        error_of(next("kind = \"recovery\"\nbase = \"2048\"\nmethod = \"reference\"\n", 256)),
        "The reference has no recovery"));
    CHECK(contains(error_of(next("kind = \"recovery\"\nbase = \"2048\"\n", 256) +
                            "[[stage]]\nname = \"last\"\ntarget_tokens = 512\nbase = \"next\"\n"),
                   "stage.base = \"next\": that stage has kind = \"recovery\""));
    CHECK(contains(error_of("objective = { \"256\" = 1 }\n"),
                   "stage.objective = \"256 = 1\": its longest length is 256 tokens, but "
                   "stage.target_tokens = 2048"));
    CHECK(contains(error_of("objective = { \"2048\" = true }\n"),
                   "stage.objective.2048: found true (a truth value), expected a number"));
}

TEST_CASE("a stage that has nothing of a campaign has the identity it always had") {
    const auto identity = identity_settings(with(""));
    for (const char* key : {"kind", "base", "objective", "model", "finetune"}) {
        CHECK_FALSE(identity.contains(std::string{"stage.2048."} + key));
    }
    const auto later = identity_settings(
        with(next("base = \"2048\"\nmodel = \"tuned\"\nobjective = { \"4096\" = 2 }\n")));
    CHECK(later.at("stage.next.base") == "\"2048\"");
    CHECK(later.at("stage.next.objective") == "\"4096 = 2\"");
    CHECK_FALSE(later.contains("stage.next.model"));  // a path; the digest is compared
}

}  // namespace longrope::coordinator
