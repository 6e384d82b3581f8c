// SPDX-License-Identifier: Apache-2.0
#include "cli/export_plan.hpp"

#include <doctest/doctest.h>

#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "cli/export_formats.hpp"
#include "cli/export_verification.hpp"
#include "cli/run_inputs.hpp"
#include "coordinator/history_file.hpp"
#include "coordinator/score_table.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope;
using namespace longrope::cli;
using longrope::tests::TemporaryFolder;

namespace {

constexpr std::uint32_t pairs = 4;

coordinator::Configuration landscape(const std::string& objective) {
    coordinator::Configuration configuration;
    configuration.evaluator.backend = "synthetic";
    configuration.evaluator.synthetic.dimensions = pairs;
    configuration.run.directory = "unused";
    coordinator::StageSettings stage;
    stage.name = "2048";
    stage.target_tokens = 2048;
    stage.objective = objective;
    configuration.stages = {stage};
    return configuration;
}

void add_row(coordinator::ScoreTable<coordinator::ScoreRow>& table, const std::string& name,
             const std::vector<double>& factors, std::uint32_t start_tokens, double nll) {
    table.dimensions = pairs;
    table.documents = {8, 8, 9};
    table.document_titles = {"first", "first", "second"};
    table.document_tokens = {100, 300, 300};  // the first document at a shorter length too
    table.document_weights = {0.5, 0.5, 0.5};
    coordinator::ScoreRow row;
    row.name = name;
    row.start_tokens = start_tokens;
    const std::size_t number = coordinator::append_row(table, row, factors);
    for (const std::size_t column : {0U, 1U, 2U}) {
        coordinator::set_cell(table, number, column,
                              nll * static_cast<double>(table.document_tokens[column]));
    }
    coordinator::settle_row(table, number);
}

coordinator::StageHistory stage(const std::string& name, double target,
                                const std::vector<double>& factors, std::uint32_t start_tokens) {
    coordinator::StageHistory stage;
    stage.name = name;
    stage.target_tokens = target;
    stage.original_window = 256;
    stage.theta = 10000;
    stage.attention_scale = 1.125;
    stage.complete = true;
    stage.evaluations.dimensions = pairs;
    stage.best = {7, 3, "validation", start_tokens, 1.125, 2.0, 7.4, factors};
    add_row(stage.validation, "individual 7", factors, start_tokens, 2.5);
    add_row(stage.heldout, "yarn", {1, 2, 3, 4}, 0, 3.0);
    add_row(stage.heldout, "searched", factors, start_tokens, 2.25);
    return stage;
}

/// A run with the stages given, written where `export` looks for it.
struct Run {
    TemporaryFolder folder;

    explicit Run(std::vector<coordinator::StageHistory> stages, const std::string& objective = "") {
        coordinator::RunHistory history;
        const coordinator::Configuration configuration = landscape(objective);
        const coordinator::RunFacts facts = read_facts(configuration);
        history.configuration = coordinator::to_toml(configuration);
        history.model_digest = facts.model_digest;
        history.documents_digest = facts.documents_digest;
        history.seed = 42;
        history.stages = std::move(stages);
        coordinator::write_history(folder.path() / "search.h5", history);
    }
    [[nodiscard]] ExportPlan plan(Words words) const {
        cxxopts::Options options{"longrope export", ""};
        add_export_flags(options);
        add_setting_flags(options);
        words.insert(words.begin(), folder.path().string());
        const std::string output = (folder.path() / "out").string();
        words.insert(words.end(), {"--output", output});
        const auto parsed = parse(options, words);
        REQUIRE(parsed.has_value());
        return plan_export(*parsed);
    }
    void refuses(const Words& words, const char* message) const {
        CHECK_THROWS_WITH_AS((void)plan(words), doctest::Contains(message), UsageError);
    }
};

const std::vector<double> long_factors{1.0, 1.5, 4.0, 8.0};
const std::vector<double> short_factors{1.0, 1.0, 1.125, 1.25};

}  // namespace

TEST_CASE("a stage's choice is the long list, with its held-out scores") {
    const Run run{{stage("2048", 2048, long_factors, 0)}};
    const ExportPlan plan = run.plan({"--format", "json"});
    const RopeExport& rope = plan.rope;
    CHECK(rope.long_list.factors == long_factors);
    CHECK(rope.target_tokens() == 2048);
    CHECK(rope.original_window == 256);
    CHECK(rope.attention_scale == 1.125);
    CHECK(rope.theta == 10000.0);
    REQUIRE(rope.long_list.score.has_value());
    CHECK(rope.long_list.score->documents_of == "heldout");
    CHECK(rope.long_list.score->nll == std::vector<double>{675.0, 675.0});
    CHECK(rope.short_list.origin == "ones");
    CHECK(rope.short_list.factors == std::vector<double>(pairs, 1.0));
    CHECK(plan.short_tokens == 256);
    CHECK(plan.long_documents == std::vector<std::uint32_t>{8, 9});
    CHECK(plan.short_documents == plan.long_documents);
    CHECK(run.plan({"--format", "json", "--limit", "1"}).long_documents ==
          std::vector<std::uint32_t>{8});
    CHECK(run.plan({"--format", "json", "--no-verify"}).long_documents.empty());
}

TEST_CASE("another individual is exported with what is stored of it") {
    coordinator::StageHistory with_individuals = stage("2048", 2048, long_factors, 20);
    auto& evaluations = with_individuals.evaluations;
    evaluations.documents = {5};
    evaluations.document_titles = {"third"};
    evaluations.document_tokens = {300};
    evaluations.document_weights = {1.0};
    for (const auto& factors : {long_factors, short_factors, std::vector<double>{}}) {
        coordinator::EvaluationRow row;
        row.individual = static_cast<std::uint32_t>(evaluations.rows.size());
        coordinator::append_row(evaluations, row, factors);
    }
    for (const std::size_t row : {0U, 1U}) {
        coordinator::set_cell(evaluations, row, 0, 600.0);
        coordinator::settle_row(evaluations, row);
    }
    coordinator::close_row(evaluations, 2, coordinator::Status::skipped);
    with_individuals.complete = false;
    const Run run{{with_individuals}};
    const FactorList list = run.plan({"--format", "json", "--individual", "1"}).rope.long_list;
    CHECK(list.origin == "stage \"2048\", individual 1");
    CHECK(list.factors == short_factors);
    CHECK(list.start_tokens == 0);
    REQUIRE(list.score.has_value());
    CHECK(list.score->documents_of == "search");
    CHECK(list.score->nll == std::vector<double>{600.0});
    run.refuses({"--format", "json", "--individual", "2"},
                "--individual 2: in stage \"2048\" it was skipped, expected one that is scored");
    run.refuses({"--format", "json", "--individual", "3"},
                "--individual 3: stage \"2048\" has individuals 0 to 2");
    run.refuses({"--format", "json", "--individual", "-1"}, "--individual");
}

TEST_CASE("scores on validation documents stand in where nothing was held out") {
    coordinator::StageHistory bare = stage("2048", 2048, long_factors, 0);
    bare.heldout = {};
    const Run run{{bare}};
    const auto score = run.plan({"--format", "csv"}).rope.long_list.score;
    REQUIRE(score.has_value());
    CHECK(score->documents_of == "validation");
    CHECK(score->nll == std::vector<double>{750.0, 750.0});
}

TEST_CASE("what a list was searched for is said: the target, or each length and its weight") {
    const Run target{{stage("2048", 2048, long_factors, 0)}};
    CHECK(target.plan({"--format", "json"}).rope.objective ==
          "token-weighted negative log-likelihood at target_tokens");
    const Run lengths{{stage("2048", 2048, long_factors, 0)}, "512 = 1, 2048 = 3"};
    CHECK(lengths.plan({"--format", "json"}).rope.objective ==
          "weighted mean of the mean negative log-likelihoods per token: 0.25 at 512 "
          "tokens, 0.75 at 2048 tokens");
}

TEST_CASE("a recovery stage gives the short list, and is never taken for the long one") {
    const Run run{{stage("2048", 2048, long_factors, 0), stage("256", 256, short_factors, 0)}};
    const ExportPlan plan = run.plan({"--format", "json", "--short-stage", "256"});
    CHECK(plan.rope.long_list.factors == long_factors);
    CHECK(plan.rope.short_list.factors == short_factors);
    CHECK(plan.rope.short_list.score.has_value());
    CHECK(plan.short_tokens == 256);
    run.refuses({"--format", "json", "--short-stage", "2048"},
                "--short-stage 2048: it is for 2048 tokens, and engines take the long list above");
    run.refuses({"--format", "csv", "--short-stage", "256"},
                "--format csv: a file holds one list; leave out the short one (stage \"256\"");
}

TEST_CASE("a recovered list goes by itself into a file that holds one list") {
    const Run run{{stage("2048", 2048, long_factors, 0), stage("256", 256, short_factors, 0)}};
    for (const char* format : {"csv", "json"}) {
        CAPTURE(format);
        const ExportPlan plan = run.plan({"--format", format, "--stage", "256"});
        CHECK(plan.rope.long_list.factors == short_factors);
        CHECK(plan.rope.target_tokens() == 256);
        CHECK(plan.rope.is_one_list());
        // It is scored once, at its own length, against the history's score.
        const auto rows = rows_of(plan, {short_factors, {}, 1.125, 1.125, 0});
        REQUIRE(rows.size() == 1);
        CHECK(rows.front().list == "list");
        CHECK(rows.front().tokens == 256);
        CHECK(rows.front().stored.has_value());
    }
    const auto native = native_export(run.plan({"--format", "json", "--stage", "256"}).rope);
    CHECK(native.at("lambda_short").is_null());
    CHECK(native.at("target_tokens") == 256);
    run.refuses(
        {"--format", "json", "--stage", "256", "--short-stage", "256"},
        "stage \"256\", individual 7: it is for 256 tokens, and the original window has 256");
    CHECK_FALSE(run.plan({"--format", "csv", "--stage", "2048"}).rope.is_one_list());
}

TEST_CASE("a recovery stage below the original window is scored at its own length") {
    const Run run{{stage("2048", 2048, long_factors, 0), stage("128", 128, short_factors, 0)}};
    CHECK(run.plan({"--format", "json", "--short-stage", "128"}).short_tokens == 128);
}

TEST_CASE("two lists share one attention scale and one original window") {
    coordinator::StageHistory other = stage("256", 256, short_factors, 0);
    other.best.attention_scale = 1.0;
    const Run scale{{stage("2048", 2048, long_factors, 0), other}};
    scale.refuses({"--format", "json", "--short-stage", "256"},
                  "its attention scale is 1, that of the other stage 1.125");
    other = stage("256", 256, short_factors, 0);
    other.original_window = 512;
    const Run window{{stage("2048", 2048, long_factors, 0), other}};
    window.refuses({"--format", "json", "--short-stage", "256"}, "its original window is 512");
}

TEST_CASE("start tokens are refused, dropped on demand, and kept by our own format") {
    const Run run{{stage("2048", 2048, long_factors, 4), stage("256", 256, short_factors, 8)}};
    run.refuses({"--format", "csv"}, "4 start tokens, which no engine's format has");
    const ExportPlan dropped = run.plan({"--format", "csv", "--drop-start-tokens"});
    CHECK(dropped.dropped_long == 4);
    CHECK(dropped.rope.long_list.start_tokens == 0);
    const ExportPlan kept = run.plan({"--format", "json"});
    CHECK(kept.dropped_long == 0);
    CHECK(kept.rope.long_list.start_tokens == 4);
    run.refuses({"--format", "json", "--short-stage", "256"},
                "8 start tokens, which only the long list may have");
    CHECK(run.plan({"--format", "json", "--short-stage", "256", "--drop-start-tokens"})
              .dropped_short == 8);
    run.refuses({"--format", "json", "--drop-start-tokens"}, "--format json keeps them");
    run.refuses({"--format", "csv", "--drop-start-tokens", "--no-verify"},
                "without start tokens the list must be scored again");
    // One start token is the same function as none.
    const Run one{{stage("2048", 2048, long_factors, 1)}};
    CHECK(one.plan({"--format", "csv"}).rope.long_list.start_tokens == 0);
}

TEST_CASE("a stage without factors, and one of several that is not named, are refused") {
    coordinator::StageHistory later;
    later.name = "later";
    later.evaluations.dimensions = pairs;
    const Run one{{stage("2048", 2048, long_factors, 0), later}};
    CHECK(one.plan({"--format", "json"}).rope.stage == "2048");
    one.refuses({"--format", "json", "--stage", "later"}, "has found no factors yet");
    one.refuses({"--format", "json", "--stage", "1024"}, "it has 2048, later");
    const Run two{{stage("2048", 2048, long_factors, 0), stage("4096", 4096, long_factors, 0)}};
    two.refuses({"--format", "json"}, "say which with --stage, one of 2048, 4096");
    CHECK(two.plan({"--format", "json", "--stage", "4096"}).rope.target_tokens() == 4096);
    const Run none{{later}};
    none.refuses({"--format", "json"}, "has factors for more than its original window yet");
}
