// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluated_methods.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cli/arguments.hpp"
#include "cli/evaluation_plan.hpp"
#include "cli/factors_file.hpp"
#include "cli/model_scaling.hpp"
#include "cli/standard_error.hpp"
#include "genome/named_baselines.hpp"

namespace longrope::cli {
namespace {

std::optional<std::vector<double>> baseline_of(const std::string& name,
                                               const genome::RotaryFacts& rotary,
                                               std::uint64_t target_tokens) {
    try {
        return genome::named_baseline(name, rotary, static_cast<double>(target_tokens));
    } catch (const std::domain_error& error) {  // turns of YaRN that are none, for example
        throw UsageError{fmt::format("--methods {}: {}", name, error.what())};
    }
}

/// The factors that a stage has chosen, if it got that far, with the scale they were searched with.
/// @throws UsageError if the model has another number of rotary pairs
std::optional<EvaluatedMethod> searched_method(
    const std::optional<coordinator::RunHistory>& history, const coordinator::StageSettings* stage,
    const coordinator::RunFacts& facts) {
    if (!history || stage == nullptr) return std::nullopt;
    const auto stored =
        std::ranges::find(history->stages, stage->name, &coordinator::StageHistory::name);
    if (stored == history->stages.end() || stored->best.individual < 0) return std::nullopt;
    const coordinator::BestRecord& best = stored->best;
    if (best.factors.size() != facts.rotary_pairs) {
        throw UsageError{fmt::format(
            "--methods searched: stage \"{}\" has {} factors; the model has {} rotary pairs: "
            "evaluate the model of the run, or name other --methods",
            stage->name, best.factors.size(), facts.rotary_pairs)};
    }
    const std::string& model =
        stored->model_digest.empty() ? history->model_digest : stored->model_digest;
    if (model != facts.model_digest) {
        print_error(
            "the searched factors of stage \"{}\" were found on another model (digest {}) "
            "than the one that is evaluated ({})\n",
            stage->name, model, facts.model_digest);
    }
    if (!stored->complete) {
        print_error(
            "stage \"{}\" is not complete: its factors are the best so far, and may change\n",
            stage->name);
    }
    return EvaluatedMethod{"searched", best.factors, best.start_tokens, best.attention_scale};
}

}  // namespace

std::vector<EvaluatedMethod> evaluated_methods(
    const cxxopts::ParseResult& parsed, const EvaluationPlan& plan,
    const std::optional<coordinator::RunHistory>& history,
    const coordinator::StageSettings* stage) {
    const genome::RotaryFacts rotary{plan.facts.rotary_pairs, plan.facts.theta,
                                     static_cast<double>(plan.facts.original_window)};
    const bool default_list = parsed.count("methods") == 0;
    const std::vector<std::string> names =
        comma_separated(default_list ? default_methods : text_of(parsed, "methods"), "--methods");
    refuse_repetition(names, "--methods");
    std::optional<EvaluatedMethod> from_run;
    if (default_list || std::ranges::find(names, "searched") != names.end()) {
        from_run = searched_method(history, stage, plan.facts);
    }
    // A scale that is asked for holds for all rows; without, each row has the one it was made with.
    if (from_run && (parsed.count("attention-scale") > 0 ||
                     from_run->attention_scale == plan.attention_scale)) {
        from_run->attention_scale.reset();
    }
    std::vector<EvaluatedMethod> methods;
    for (const std::string& name : names) {
        if (name == "searched") {
            if (!from_run) {
                throw UsageError{
                    "--methods searched needs a run whose history holds a best individual"};
            }
            methods.push_back(*from_run);
        } else if (name == "model") {
            methods.push_back(model_method(plan.configuration, plan.target_tokens));
        } else if (auto factors = baseline_of(name, rotary, plan.target_tokens)) {
            methods.push_back({name, std::move(*factors)});
        } else {
            throw UsageError{
                fmt::format("--methods: \"{}\" is not known; accepted are {}, model and searched",
                            name, genome::accepted_baselines())};
        }
    }
    if (default_list && from_run) methods.push_back(*from_run);
    if (default_list && !from_run && stage != nullptr) {
        const std::string& directory = plan.configuration.run.directory;
        print_error("{}: no row searched\n",
                    history ? fmt::format("stage \"{}\" has found no factors yet in {}",
                                          stage->name, directory)
                            : fmt::format("no history in {}", directory));
    }
    if (parsed.count("factors") > 0) {
        FactorsFile file = read_factors_file(text_of(parsed, "factors"), "--factors",
                                             plan.facts.rotary_pairs, plan.facts.theta);
        settle_dips(file, "--factors", parsed.count("repair") > 0);
        if (!file.model_digest.empty() && file.model_digest != plan.facts.model_digest) {
            print_error(
                "--factors: they were found on another model (digest {}) than the one that is "
                "evaluated ({})\n",
                file.model_digest, plan.facts.model_digest);
        }
        EvaluatedMethod custom{"factors", std::move(file.factors)};
        custom.start_tokens = file.start_tokens.value_or(0);
        if (parsed.count("attention-scale") == 0 && file.attention_scale != plan.attention_scale) {
            custom.attention_scale = file.attention_scale;
        }
        if (parsed.count("start-tokens") > 0) {
            custom.start_tokens =
                parse_integer<std::uint32_t>(text_of(parsed, "start-tokens"), "--start-tokens");
        }
        methods.push_back(std::move(custom));
    } else if (parsed.count("start-tokens") > 0) {
        throw UsageError{"--start-tokens goes with --factors"};
    } else if (parsed.count("repair") > 0) {
        throw UsageError{"--repair goes with --factors"};
    }
    return methods;
}

}  // namespace longrope::cli
