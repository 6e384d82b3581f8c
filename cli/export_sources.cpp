// SPDX-License-Identifier: Apache-2.0
#include "cli/export_sources.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>

#include "cli/evaluation_plan.hpp"
#include "cli/factors_file.hpp"
#include "cli/history_argument.hpp"
#include "cli/stage_lists.hpp"
#include "cli/standard_error.hpp"
#include "coordinator/objective.hpp"
#include "genome/attention_scale.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;
using coordinator::RunHistory;
using coordinator::StageHistory;

FactorList ones(std::size_t pairs) {
    FactorList list;
    list.origin = "ones";
    list.factors.assign(pairs, 1.0);
    list.is_ones = true;
    return list;
}

/// What the search of a stage minimised, in words.
std::string objective_of(const coordinator::Configuration& configuration,
                         const std::string& stage) {
    const auto& stages = configuration.stages;
    const auto found = std::ranges::find(stages, stage, &coordinator::StageSettings::name);
    const auto lengths =
        found == stages.end() ? std::nullopt : coordinator::parse_objective(found->objective);
    if (!lengths || lengths->empty()) {
        return "token-weighted negative log-likelihood at target_tokens";
    }
    std::vector<std::string> parts;
    for (const coordinator::ScoredLength& length : coordinator::normalised(*lengths)) {
        parts.push_back(fmt::format("{} at {} tokens", length.weight, length.tokens));
    }
    return fmt::format("weighted mean of the mean negative log-likelihoods per token: {}",
                       fmt::join(parts, ", "));
}

/// A stage of a campaign may have weights of its own.
void take_stage_weights(ExportPlan& plan, const std::string& stage) {
    const auto& stages = plan.configuration.stages;
    const auto found = std::ranges::find(stages, stage, &coordinator::StageSettings::name);
    if (found == stages.end() || found->model.empty()) return;
    plan.stage_model = found->model;
    plan.configuration.model.path = found->model;
}

/// Ones are the list for short texts of weights that never saw other factors; tuned ones did.
void tell_short_list_of_ones(const RunHistory& history, const StageHistory& stage) {
    if (stage.target_tokens <= stage.original_window) return;
    const std::string& digest = digest_of_weights(history, stage);
    if (digest.empty() || digest == history.model_digest) return;
    const std::vector<std::string> fitting = short_stages(history, stage);
    print_error(
        "the short list is ones, which is for weights that were not tuned, and stage \"{}\" has "
        "weights of its own: --short-stage takes the list of a recovery stage on them; {}\n",
        stage.name,
        fitting.empty() ? "the history has none that fits"
                        : fmt::format("here: {}", fmt::join(fitting, ", ")));
}

std::uint64_t window_flag(const cxxopts::ParseResult& parsed, const char* flag,
                          std::optional<std::uint64_t> otherwise) {
    if (parsed.count(flag) == 0) {
        if (otherwise) return *otherwise;
        throw UsageError{fmt::format("--{} is missing: the file does not say it", flag)};
    }
    return parse_window(text_of(parsed, flag), fmt::format("--{}", flag));
}

/// Engines take both lists for one window, with one scale; a file may say that its list is for
/// others.
void check_short_list(const FactorsFile& file, const RopeExport& rope, const std::string& name) {
    const std::string where = fmt::format("--short-factors {}", name);
    if (file.target_tokens && *file.target_tokens > rope.original_window) {
        throw UsageError{fmt::format(
            "{}: it is for {} tokens, and the short list is for at most the original window of {}",
            where, *file.target_tokens, rope.original_window)};
    }
    if (file.original_window && *file.original_window != rope.original_window) {
        throw UsageError{
            fmt::format("{}: its original window has {} tokens, that of the long list {}: both "
                        "must have the same",
                        where, *file.original_window, rope.original_window)};
    }
    constexpr double same = 1e-6;
    if (file.attention_scale &&
        std::abs(*file.attention_scale - rope.attention_scale) > same * rope.attention_scale) {
        throw UsageError{fmt::format(
            "{}: its attention scale is {:.6f}, that of the long list {:.6f}: engines have one for "
            "both, so search both with one scale, or say with --attention-scale which it is to be",
            where, *file.attention_scale, rope.attention_scale)};
    }
}

}  // namespace

void export_from_run(const cxxopts::ParseResult& parsed, ExportPlan& plan) {
    for (const char* flag : {"target-tokens", "original-window", "start-tokens", "short-factors",
                             "split", "attention-scale"}) {
        if (parsed.count(flag) == 0) continue;
        throw UsageError{
            fmt::format("--{} goes with --factors: a run's history has its own", flag)};
    }
    const fs::path file = history_argument(positional(parsed, "RUN", "export"), parsed);
    const RunHistory history = read_present_history(file);
    plan.configuration = configuration_of(history, file, input_overrides(parsed));
    const StageHistory& stage = long_stage(history, text_of(parsed, "stage"));
    std::optional<std::uint32_t> individual;
    if (parsed.count("individual") > 0) {
        individual = parse_integer<std::uint32_t>(text_of(parsed, "individual"), "--individual");
    } else if (!stage.complete) {
        print_error(
            "stage \"{}\" is not complete: its factors are the best so far, and may change\n",
            stage.name);
    }
    if (parsed.count("model") == 0) take_stage_weights(plan, stage.name);
    plan.missing_inputs = missing_inputs(history, file, plan.configuration);
    RopeExport& rope = plan.rope;
    rope.objective = objective_of(plan.configuration, stage.name);
    plan.configuration.stages.clear();  // the weights of the others do not matter
    rope.long_list = stage_list(stage, individual);
    rope.theta = stage.theta;
    rope.rotary_dim = 2 * static_cast<std::uint32_t>(rope.long_list.factors.size());
    rope.original_window = static_cast<std::uint64_t>(stage.original_window);
    rope.attention_scale = stage.best.attention_scale;
    rope.attention_rule = plan.configuration.evaluator.attention_scale;
    rope.model_digest = digest_of_weights(history, stage);
    rope.documents_digest = history.documents_digest;
    rope.run_uuid = history.run_uuid;
    rope.stage = stage.name;
    rope.seed = history.seed;
    rope.short_list = parsed.count("short-stage") > 0
                          ? short_list(history, stage, text_of(parsed, "short-stage"))
                          : ones(rope.long_list.factors.size());
    if (rope.short_list.is_ones && plan.format != ExportFormat::csv) {
        tell_short_list_of_ones(history, stage);
    }
    for (const FactorList* list : {&rope.long_list, &rope.short_list}) {
        const std::string dips = dips_of(list->factors);
        if (!dips.empty()) print_error("{}: {}\n", list->origin, dips);
    }
}

void export_from_files(const cxxopts::ParseResult& parsed, ExportPlan& plan) {
    if (parsed.count("model") == 0) {
        throw UsageError{
            "longrope export needs a run, or --model and --factors; see longrope export --help"};
    }
    if (parsed.count("short-stage") > 0) {
        throw UsageError{"--short-stage goes with a run; --short-factors is a file"};
    }
    if (parsed.count("individual") > 0) {
        throw UsageError{"--individual goes with a run: its history has individuals"};
    }
    plan.configuration = folder_configuration(parsed, "longrope export");
    const evaluator::ModelConfig model =
        evaluator::read_model_config(plan.configuration.model.path);
    const bool repair = parsed.count("repair") > 0;
    FactorsFile file = read_factors_file(text_of(parsed, "factors"), "--factors",
                                         model.rotary_pairs(), model.rope_theta);
    settle_dips(file, "--factors", repair);
    RopeExport& rope = plan.rope;
    rope.theta = model.rope_theta;
    rope.rotary_dim = model.rotary_dim;
    rope.original_window = plan.configuration.model.original_window;
    if (rope.original_window == 0) {
        rope.original_window = file.original_window.value_or(model.original_window());
    }
    rope.long_list.origin = text_of(parsed, "factors");
    rope.long_list.factors = file.factors;
    rope.long_list.start_tokens = file.start_tokens.value_or(0);
    if (parsed.count("start-tokens") > 0) {
        const auto given = spelled_number<std::uint32_t>(text_of(parsed, "start-tokens"));
        if (!given) throw UsageError{"--start-tokens: expected a number of tokens"};
        rope.long_list.start_tokens = *given;
    }
    rope.long_list.tokens = window_flag(parsed, "target-tokens", file.target_tokens);
    rope.model_digest = file.model_digest;
    rope.attention_rule = plan.configuration.evaluator.attention_scale;
    const auto rule = genome::AttentionScale::parse(rope.attention_rule);
    if (!rule) {
        throw UsageError{fmt::format("--attention-scale {}: expected {}", rope.attention_rule,
                                     genome::AttentionScale::accepted())};
    }
    rope.attention_scale = rule->value(static_cast<double>(rope.original_window),
                                       static_cast<double>(rope.target_tokens()));
    if (parsed.count("attention-scale") == 0 && file.attention_scale) {
        rope.attention_scale = *file.attention_scale;
        rope.attention_rule = fmt::format("{}", *file.attention_scale);
    }
    rope.short_list = ones(rope.long_list.factors.size());
    if (parsed.count("short-factors") > 0) {
        FactorsFile given = read_factors_file(text_of(parsed, "short-factors"), "--short-factors",
                                              model.rotary_pairs(), model.rope_theta);
        settle_dips(given, "--short-factors", repair);
        if (parsed.count("attention-scale") > 0) given.attention_scale.reset();  // that one counts
        check_short_list(given, rope, text_of(parsed, "short-factors"));
        rope.short_list = {.origin = text_of(parsed, "short-factors"),
                           .factors = std::move(given.factors),
                           .start_tokens = given.start_tokens.value_or(0)};
    } else if (!file.short_factors.empty()) {
        rope.short_list = {.origin = rope.long_list.origin,
                           .factors = std::move(file.short_factors)};
    }
}

}  // namespace longrope::cli
