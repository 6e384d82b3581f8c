// SPDX-License-Identifier: Apache-2.0
#include "cli/search_check.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/json_text.hpp"
#include "cli/machine.hpp"
#include "cli/reporter.hpp"
#include "cli/run_inputs.hpp"
#include "cli/seen_run.hpp"
#include "cli/stage_estimate.hpp"
#include "cli/waiting_stage.hpp"
#include "coordinator/coordinate.hpp"
#include "coordinator/history_file.hpp"
#include "coordinator/run_plan.hpp"
#include "evaluator/cpu/instruction_set.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/precision.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

/// Whether the estimated memory and times are those of this machine's evaluators.
bool computes_as_estimated(const coordinator::BackendSettings& settings) {
    return settings.backend == "synthetic" || is_on_cpu(settings);
}

/// What the figures are of where evaluators compute otherwise; else nothing.
std::string estimate_note(const coordinator::BackendSettings& settings) {
    if (computes_as_estimated(settings)) return {};
    if (settings.backend == "reference") {
        return "Memory and time are those of backend \"cpu\": the reference takes far longer.\n";
    }
    return "Memory and time are those of CPUs, but these evaluators compute on GPUs: --device NAME "
           "plans for them, as longrope estimate does, whose --help has the names.\n";
}

/// What every evaluator would refuse as it starts, as a search ends that has lost them all.
void check_instruction_set(const coordinator::BackendSettings& settings) {
    if (!is_on_cpu(settings)) return;
    try {
        evaluator::cpu::require_precision(evaluator::cpu::choose_instruction_set(settings.isa),
                                          evaluator::parse_precision(settings.precision));
    } catch (const evaluator::EvaluatorError& error) {
        throw coordinator::NoWorkers{fmt::format("no worker is left: {}", error.what())};
    }
}

bool is_model_missing(const coordinator::StagePlan& stage) {
    return stage.model_digest.empty();
}

/// What submit.sh compares with.
boost::json::object as_json(const EvaluatorMemory& memory) {
    return {{"bytes_per_evaluator", memory.bytes_per_evaluator},
            {"shared_bytes", memory.shared_bytes}};
}

std::string state_text(const coordinator::RunPlan& plan) {
    if (plan.complete()) return "the search there is complete";
    if (const auto missing = plan.missing_model()) {
        return fmt::format("a search that can only wait, {} document scores are there: {}",
                           plan.restored(), coordinator::waiting_reason(*missing));
    }
    if (!plan.resumed()) return "a new search";
    return fmt::format("a search to go on with, {} document scores are there", plan.restored());
}

std::string run_text(const coordinator::RunFacts& facts, const coordinator::RunPlan& plan,
                     const fs::path& directory, const std::string& holder) {
    std::string text = fmt::format(
        "The configuration is valid: {} rotary pairs, theta {}, original window {} tokens, {} "
        "documents.\nRun directory {}: {}.\n",
        facts.rotary_pairs, facts.theta, facts.original_window, facts.documents.size(),
        directory.string(), state_text(plan));
    if (!holder.empty()) {
        text += fmt::format("  It is in use by {}: until then no other search goes on there.\n",
                            holder);
    }
    return text;
}

std::string stage_text(const coordinator::Configuration& configuration, const EstimatedJob& job,
                       const StageEstimate& estimate) {
    const coordinator::StagePlan& stage = estimate.plan;
    const EvaluatorMemory& memory = estimate.memory.chosen();
    std::string text = fmt::format(
        "Stage \"{}\"{}: {} -> {} tokens, attention scale {:.4f}; documents: {} search, {} "
        "validation, {} held out.\n  {} individuals, {} tasks left",
        stage.settings.name,
        stage.settings.base.empty()
            ? ""
            : fmt::format(" ({} on \"{}\")", stage.settings.kind, stage.settings.base),
        stage.original_window, stage.positions, stage.attention_scale,
        stage.search_documents.documents.size(), stage.validation_documents.documents.size(),
        stage.heldout_documents.documents.size(), stage.individuals(), estimate.tasks_left);
    if (estimate.flop_per_task > 0.0) {
        text += fmt::format(" of {:.1f} GFLOP; {}{} of memory per evaluator",
                            estimate.flop_per_task / 1e9,
                            computes_as_estimated(configuration.evaluator) ? "" : "on CPUs: ",
                            spell_bytes(memory.bytes_per_evaluator));
        if (estimate.memory.weights == evaluator::WeightResidency::streamed) {
            text += fmt::format(" and {} of the model's files for all of a node",
                                spell_bytes(memory.shared_bytes));
        }
    }
    text += fmt::format("; about {} on {} rank{}.\n", spell_duration(estimate.seconds), job.ranks,
                        job.ranks == 1 ? "" : "s");
    if (computes_as_estimated(configuration.evaluator)) {
        text += deadline_hint(estimate.tasks_left == 0 ? 0.0 : estimate.task_seconds,
                              configuration.evaluator.deadline_floor_seconds);
    }
    if (!job.elsewhere && estimate.tasks_left > 0 && is_on_cpu(configuration.evaluator)) {
        text += memory_shortage(job.ranks, estimate.memory, this_machine().memory_room());
    }
    if (is_model_missing(stage)) {
        text += fmt::format(
            "  Its model {} does not exist yet: the run will wait for it (exit status 6). The "
            "figures are those of {}.\n",
            stage.settings.model, configuration.model.path);
    }
    return text;
}

/// The trainings that lead to a stage's own model, for campaign.sh.
boost::json::array trainings_json(const coordinator::Configuration& configuration,
                                  const std::string& name) {
    const auto& stages = configuration.stages;
    const auto stage = std::ranges::find(stages, name, &coordinator::StageSettings::name);
    boost::json::array trainings;
    if (stage->model.empty()) return trainings;
    const auto index = static_cast<std::size_t>(stage - stages.begin());
    for (const TrainingStep& step : training_steps(configuration, index)) {
        trainings.push_back({{"model", step.model},
                             {"stage", step.stage},
                             {"output", step.output},
                             {"settings", step.settings}});
    }
    return trainings;
}

boost::json::object stage_json(const coordinator::Configuration& configuration,
                               const StageEstimate& estimate) {
    const coordinator::StagePlan& stage = estimate.plan;
    const EvaluatorMemory& memory = estimate.memory.chosen();
    return {{"name", stage.settings.name},
            {"positions", stage.positions},
            {"attention_scale", stage.attention_scale},
            {"kind", stage.settings.kind},
            {"base", stage.settings.base},
            {"model", stage.settings.model},
            {"model_missing", is_model_missing(stage)},
            {"trainings", trainings_json(configuration, stage.settings.name)},
            {"tasks", stage.tasks()},
            {"tasks_left", estimate.tasks_left},
            {"tasks_at_once", stage.tasks_at_once()},
            {"flop_per_task", estimate.flop_per_task},
            {"bytes_per_evaluator", memory.bytes_per_evaluator},
            {"shared_bytes", memory.shared_bytes},
            {"streamed", as_json(estimate.memory.streamed)},
            {"seconds", estimate.seconds}};
}

}  // namespace

void check_run_directory(const fs::path& directory) {
    std::error_code error;
    fs::path existing = fs::absolute(directory, error).lexically_normal();
    fs::file_status status = fs::status(existing, error);
    while (status.type() == fs::file_type::not_found && !fs::is_symlink(existing) &&
           existing.has_relative_path()) {
        existing = existing.parent_path();
        status = fs::status(existing, error);
    }
    const auto refuse = [&](const std::string& found) {
        throw coordinator::ConfigurationError{
            fmt::format("run.directory = \"{}\": {} {}: use another --run-directory",
                        directory.string(), existing.string(), found)};
    };
    if (status.type() == fs::file_type::not_found && fs::is_symlink(existing)) {
        refuse(fmt::format("is a link to {}, which does not exist",
                           fs::read_symlink(existing).string()));
    }
    if (error) refuse("cannot be a folder: " + error.message());
    if (!fs::is_directory(status)) refuse("is not a folder");
    if (::access(existing.c_str(), W_OK | X_OK) != 0) refuse("cannot be written by this user");
    existing = directory / "search.h5";
    if (fs::is_symlink(existing, error)) {
        refuse("is a link, which a snapshot would replace by a file; the folder may be one");
    }
}

ExitCode check_search(const coordinator::Configuration& configuration, const EstimatedJob& job,
                      bool json) {
    const fs::path directory{configuration.run.directory};
    check_run_directory(directory);
    const coordinator::RunFacts facts = read_facts(configuration);
    const coordinator::RunPlan plan{configuration, facts,
                                    coordinator::read_history(directory / "search.h5")};
    settle_tokenizer(facts, plan.resumed());
    if (!job.elsewhere && !plan.complete() && !plan.missing_model()) {
        check_instruction_set(configuration.evaluator);
    }
    const std::string holder = plan.complete() ? "" : holder_of(directory);
    const std::vector<StageEstimate> estimates = estimate_stages(configuration, plan, job);
    if (json) {
        const auto missing = plan.missing_model();
        boost::json::array stages;
        for (const StageEstimate& estimate : estimates)
            stages.push_back(stage_json(configuration, estimate));
        const boost::json::object report{
            {"complete", plan.complete()},
            {"restored", plan.restored()},
            {"directory", directory.string()},
            {"in_use_by", holder},
            {"waits_for", missing ? missing->folder : ""},
            {"ranks", job.ranks},
            {"computes_as_estimated", computes_as_estimated(configuration.evaluator)},
            {"rotary_pairs", facts.rotary_pairs},
            {"original_window", facts.original_window},
            {"stages", std::move(stages)}};
        std::cout << json_line(report);
    } else {
        std::cout << run_text(facts, plan, directory, holder);
        for (const StageEstimate& estimate : estimates) {
            std::cout << stage_text(configuration, job, estimate);
        }
        const std::string isa = assumed_instruction_set(configuration.evaluator);
        std::cout << estimate_note(configuration.evaluator);
        std::cout << fmt::format(
            "The time assumes {:.0f} GFLOP/s per core ({}) and nothing else on the machine; "
            "nothing was computed.\n",
            assumed_flops_per_core(isa) / 1e9, isa);
    }
    std::cout.flush();
    return ExitCode::done;
}

}  // namespace longrope::cli
