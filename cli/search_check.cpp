// SPDX-License-Identifier: Apache-2.0
#include "cli/search_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "cli/gpu_devices.hpp"
#include "cli/machine.hpp"
#include "cli/reporter.hpp"
#include "cli/run_inputs.hpp"
#include "coordinator/coordinate.hpp"
#include "coordinator/history_file.hpp"
#include "coordinator/run_plan.hpp"
#include "coordinator/tasks_left.hpp"
#include "evaluator/cost_estimate.hpp"
#include "evaluator/cpu/instruction_set.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/precision.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

struct StageEstimate {
    coordinator::StagePlan plan;
    std::uint64_t tasks_left = 0;
    double flop_per_task = 0.0;
    EvaluatorMemory memory;
    double seconds = 0.0;  ///< for what is left, on all ranks

    [[nodiscard]] double seconds_per_task(std::uint32_t ranks) const {
        return tasks_left == 0 ? 0.0 : seconds * ranks / static_cast<double>(tasks_left);
    }
};

/// The instruction set whose speed is assumed.
std::string assumed_instruction_set(const coordinator::BackendSettings& settings,
                                    const Machine& machine) {
    return settings.isa == "auto" ? machine.instruction_set : settings.isa;
}

std::vector<StageEstimate> estimate(const coordinator::Configuration& configuration,
                                    const coordinator::RunPlan& plan, const EstimatedJob& job) {
    const Machine machine = this_machine();
    const auto workers = static_cast<double>(job.ranks);
    std::vector<StageEstimate> estimates;
    for (std::size_t stage = 0; stage < configuration.stages.size(); ++stage) {
        StageEstimate estimate{plan.planned(stage)};
        estimate.tasks_left = coordinator::tasks_left(estimate.plan, plan.history_of(stage));
        const auto tasks = static_cast<double>(estimate.tasks_left);
        if (configuration.evaluator.backend == "synthetic") {
            estimate.seconds =
                tasks * configuration.evaluator.synthetic.duration_ms / 1000.0 / workers;
        } else {
            const evaluator::ModelFolder model{configuration.model.path};
            const std::uint32_t share = std::max(1U, machine.cores / job.ranks);
            const std::uint32_t threads =
                configuration.evaluator.threads == 0 ? share : configuration.evaluator.threads;
            const auto residency =
                evaluator::parse_weight_residency(configuration.evaluator.weights);
            if (residency == evaluator::WeightResidency::streamed) {
                estimate.memory.shared_bytes = model.file_bytes();
            }
            double flop = 0.0;  // of a task, as a mean over the lengths
            for (const coordinator::ScoredLength& length : estimate.plan.lengths) {
                const evaluator::CostEstimate cost = evaluator::estimate_cost(
                    model.config(), length.tokens,
                    evaluator::parse_precision(configuration.evaluator.precision), threads,
                    residency);
                flop += cost.flop.total() / static_cast<double>(estimate.plan.lengths.size());
                estimate.memory.bytes_per_evaluator = cost.peak_bytes;  // of the longest, the last
            }
            const std::string isa = assumed_instruction_set(configuration.evaluator, machine);
            double cores = workers * threads;
            // Ranks beyond the cores share them.
            if (!job.elsewhere) cores = std::min(cores, static_cast<double>(machine.cores));
            estimate.flop_per_task = flop;
            estimate.seconds = tasks * flop / (assumed_flops_per_core(isa) * cores);
        }
        estimates.push_back(std::move(estimate));
    }
    return estimates;
}

/// Whether the evaluators of this machine compute on its CPU.
bool is_on_cpu(const coordinator::BackendSettings& settings) {
    if (settings.backend != "auto") return settings.backend == "cpu";
    return settings.precision != "bf16" || !gpu_devices().reason.empty();
}

/// Whether the estimated times are those of this machine's evaluators.
bool computes_as_estimated(const coordinator::BackendSettings& settings) {
    return settings.backend == "synthetic" || is_on_cpu(settings);
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

}  // namespace

std::string memory_shortage(std::uint32_t ranks, const EvaluatorMemory& memory,
                            std::uint64_t installed) {
    if (ranks * memory.bytes_per_evaluator + memory.shared_bytes <= installed) return {};
    const bool streamed = memory.shared_bytes > 0;
    std::vector<std::string> remedies;
    if (ranks > 1) remedies.emplace_back("run fewer ranks");
    if (!streamed) remedies.emplace_back("set evaluator.weights = \"streamed\"");
    if (remedies.empty()) remedies.emplace_back("take one with more");
    return fmt::format(
        "  {} evaluator{} of {}{}, but this machine has {}: {}.\n", ranks, ranks == 1 ? "" : "s",
        spell_bytes(memory.bytes_per_evaluator),
        streamed ? fmt::format(" and {} of the model's files", spell_bytes(memory.shared_bytes))
                 : std::string{},
        spell_bytes(installed), fmt::join(remedies, " or "));
}

void check_run_directory(const fs::path& directory) {
    std::error_code error;
    fs::path existing = fs::absolute(directory, error).lexically_normal();
    fs::file_status status = fs::status(existing, error);
    while (status.type() == fs::file_type::not_found && existing.has_relative_path()) {
        existing = existing.parent_path();
        status = fs::status(existing, error);
    }
    const auto refuse = [&](const std::string& found) {
        throw coordinator::ConfigurationError{
            fmt::format("run.directory = \"{}\": {} {}: use another --run-directory",
                        directory.string(), existing.string(), found)};
    };
    if (error) refuse("cannot be a folder: " + error.message());
    if (!fs::is_directory(status)) refuse("is not a folder");
    if (::access(existing.c_str(), W_OK | X_OK) != 0) refuse("cannot be written by this user");
}

ExitCode check_search(const coordinator::Configuration& configuration, const EstimatedJob& job,
                      bool json) {
    const fs::path directory{configuration.run.directory};
    check_run_directory(directory);
    const coordinator::RunFacts facts = read_facts(configuration);
    const coordinator::RunPlan plan{configuration, facts,
                                    coordinator::read_history(directory / "search.h5")};
    if (!job.elsewhere && !plan.complete() && !plan.missing_model()) {
        check_instruction_set(configuration.evaluator);
    }
    const std::vector<StageEstimate> estimates = estimate(configuration, plan, job);
    boost::json::array stages;
    std::string text = fmt::format(
        "The configuration is valid: {} rotary pairs, theta {}, original window {} tokens, {} "
        "documents.\nRun directory {}: {}.\n",
        facts.rotary_pairs, facts.theta, facts.original_window, facts.documents.size(),
        directory.string(),
        plan.complete() ? "the search there is complete"
        : plan.resumed()
            ? fmt::format("a search to go on with, {} document scores are there", plan.restored())
            : std::string{"a new search"});
    for (const StageEstimate& estimate : estimates) {
        const coordinator::StagePlan& stage = estimate.plan;
        text += fmt::format(
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
            text += fmt::format(" of {:.1f} GFLOP; {} of memory per evaluator",
                                estimate.flop_per_task / 1e9,
                                spell_bytes(estimate.memory.bytes_per_evaluator));
            if (estimate.memory.shared_bytes > 0) {
                text += fmt::format(" and {} of the model's files for all of a node",
                                    spell_bytes(estimate.memory.shared_bytes));
            }
        }
        text += fmt::format("; about {} on {} rank{}.\n", spell_duration(estimate.seconds),
                            job.ranks, job.ranks == 1 ? "" : "s");
        const double floor = configuration.evaluator.deadline_floor_seconds;
        const double task_seconds = estimate.seconds_per_task(job.ranks);
        if (task_seconds > floor && computes_as_estimated(configuration.evaluator)) {
            text += fmt::format(
                "  A task takes about {}: set evaluator.deadline_floor_seconds = {:g} higher, or "
                "the first tries count as hanging.\n",
                spell_duration(task_seconds), floor);
        }
        if (!job.elsewhere && estimate.tasks_left > 0 && is_on_cpu(configuration.evaluator)) {
            text += memory_shortage(job.ranks, estimate.memory, this_machine().memory_bytes);
        }
        const bool model_missing = stage.model_digest.empty();
        if (model_missing) {
            text += fmt::format(
                "  Its model {} does not exist yet: the run will wait for it (exit status 6). The "
                "figures are those of {}.\n",
                stage.settings.model, configuration.model.path);
        }
        stages.push_back({{"name", stage.settings.name},
                          {"positions", stage.positions},
                          {"attention_scale", stage.attention_scale},
                          {"kind", stage.settings.kind},
                          {"base", stage.settings.base},
                          {"model_missing", model_missing},
                          {"tasks", stage.tasks()},
                          {"tasks_left", estimate.tasks_left},
                          {"tasks_at_once", stage.tasks_at_once()},
                          {"flop_per_task", estimate.flop_per_task},
                          {"bytes_per_evaluator", estimate.memory.bytes_per_evaluator},
                          {"shared_bytes", estimate.memory.shared_bytes},
                          {"seconds", estimate.seconds}});
    }
    if (json) {
        std::cout << boost::json::serialize(
                         boost::json::object{{"complete", plan.complete()},
                                             {"restored", plan.restored()},
                                             {"directory", directory.string()},
                                             {"ranks", job.ranks},
                                             {"rotary_pairs", facts.rotary_pairs},
                                             {"original_window", facts.original_window},
                                             {"stages", std::move(stages)}})
                  << "\n";
    } else {
        const std::string isa = assumed_instruction_set(configuration.evaluator, this_machine());
        std::cout << text
                  << fmt::format(
                         "The time assumes {:.0f} GFLOP/s per core ({}) and nothing else on the "
                         "machine; nothing was computed.\n",
                         assumed_flops_per_core(isa) / 1e9, isa);
    }
    std::cout.flush();
    return ExitCode::done;
}

}  // namespace longrope::cli
