// SPDX-License-Identifier: Apache-2.0
#include "cli/stage_estimate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/batch_rounds.hpp"
#include "cli/gpu_devices.hpp"
#include "cli/reporter.hpp"
#include "coordinator/tasks_left.hpp"
#include "evaluator/cost_estimate.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/precision.hpp"

namespace longrope::cli {
namespace {

using evaluator::WeightResidency;

/// Of what is left, on workers that each compute one task at a time.
double rounds_left(const StageEstimate& estimate, std::uint64_t workers) {
    return static_cast<double>(
        count_rounds(batches_left(estimate.plan.batches(), estimate.tasks_left), workers));
}

void estimate_synthetic(StageEstimate& estimate, const coordinator::BackendSettings& settings,
                        std::uint32_t ranks) {
    estimate.task_seconds = settings.synthetic.duration_ms / 1000.0;
    estimate.seconds = rounds_left(estimate, ranks) * estimate.task_seconds;
}

/// Every evaluator reads the tokens of all documents.
std::uint64_t bytes_of_tokens(const std::vector<coordinator::DocumentFacts>& documents) {
    std::uint64_t tokens = 0;
    for (const coordinator::DocumentFacts& document : documents) tokens += document.positions;
    return sizeof(std::int32_t) * tokens;
}

void estimate_on_cpus(StageEstimate& estimate, const coordinator::Configuration& configuration,
                      const coordinator::RunFacts& facts, const EstimatedJob& job) {
    const coordinator::BackendSettings& settings = configuration.evaluator;
    const bool own_model =
        !estimate.plan.settings.model.empty() && !estimate.plan.model_digest.empty();
    const evaluator::ModelFolder model{own_model ? estimate.plan.settings.model
                                                 : configuration.model.path};
    const Machine machine = this_machine();
    MemoryEstimate& memory = estimate.memory;
    const std::uint32_t threads =
        settings.threads == 0 ? std::max(1U, machine.cores / job.ranks) : settings.threads;
    const evaluator::Precision precision = evaluator::parse_precision(settings.precision);
    // Jobs elsewhere may be without the GPU that is here.
    const bool streams = settings.backend == "reference" || is_on_cpu(settings) ||
                         (job.elsewhere && settings.backend != "cuda");
    if (streams) memory.weights = evaluator::parse_weight_residency(settings.weights);
    memory.streamed.shared_bytes = model.file_bytes();
    double flop = 0.0;  // of a task, as a mean over the lengths
    std::uint64_t packed_weights = 0;
    for (const coordinator::ScoredLength& length : estimate.plan.lengths) {
        const auto cost = [&](WeightResidency residency) {
            return evaluator::estimate_cost(model.config(), length.tokens,
                                            {.precision = precision,
                                             .threads = threads,
                                             .weights = residency,
                                             .stored_weight_bytes = model.stored_weight_bytes()});
        };
        const evaluator::CostEstimate chosen = cost(memory.weights);
        flop += chosen.flop.total() / static_cast<double>(estimate.plan.lengths.size());
        packed_weights = chosen.packed_weights;
        // Of the longest, which is the last.
        const std::uint64_t tokens = bytes_of_tokens(facts.documents);
        memory.resident.bytes_per_evaluator = tokens + cost(WeightResidency::resident).peak_bytes;
        memory.streamed.bytes_per_evaluator = tokens + cost(WeightResidency::streamed).peak_bytes;
    }
    double cores = static_cast<double>(job.ranks) * threads;
    // Ranks beyond the cores share them, and so do threads beyond what the job may have.
    if (!job.elsewhere) cores = std::min(cores, machine.usable_cores());
    const double core_seconds_per_task =
        flop / assumed_flops_per_core(assumed_instruction_set(settings)) +
        static_cast<double>(packed_weights) / assumed_weights_packed_per_second;
    estimate.flop_per_task = flop;
    estimate.task_seconds = core_seconds_per_task * job.ranks / cores;
    // Ranks that share cores are together as fast as so many that have theirs alone.
    const auto workers = static_cast<std::uint64_t>(std::max(1.0, std::floor(cores / threads)));
    estimate.seconds = rounds_left(estimate, workers) * core_seconds_per_task *
                       static_cast<double>(workers) / cores;
}

}  // namespace

std::string assumed_instruction_set(const coordinator::BackendSettings& settings) {
    return settings.isa == "auto" ? this_machine().instruction_set : settings.isa;
}

bool is_on_cpu(const coordinator::BackendSettings& settings) {
    if (settings.backend != "auto") return settings.backend == "cpu";
    return settings.precision != "bf16" || !gpu_devices().reason.empty();
}

std::vector<StageEstimate> estimate_stages(const coordinator::Configuration& configuration,
                                           const coordinator::RunPlan& plan,
                                           const EstimatedJob& job) {
    std::vector<StageEstimate> estimates;
    for (std::size_t stage = 0; stage < configuration.stages.size(); ++stage) {
        StageEstimate estimate{plan.planned(stage)};
        estimate.tasks_left = coordinator::tasks_left(estimate.plan, plan.history_of(stage));
        if (configuration.evaluator.backend == "synthetic") {
            estimate_synthetic(estimate, configuration.evaluator, job.ranks);
        } else {
            estimate_on_cpus(estimate, configuration, plan.facts(), job);
        }
        estimates.push_back(std::move(estimate));
    }
    return estimates;
}

std::string deadline_hint(double task_seconds, double floor_seconds) {
    if (task_seconds <= floor_seconds) return "";
    return fmt::format(
        "  A task takes about {}: set evaluator.deadline_floor_seconds = {:g} higher, or the first "
        "tries count as hanging.\n",
        spell_duration(task_seconds), floor_seconds);
}

std::string memory_shortage(std::uint32_t ranks, const MemoryEstimate& estimate,
                            const MemoryRoom& room) {
    const EvaluatorMemory& memory = estimate.chosen();
    if (room.bytes == 0 || memory.bytes(ranks) <= room.bytes) return {};
    const bool streamed = estimate.weights == WeightResidency::streamed;
    const EvaluatorMemory& other = streamed ? estimate.resident : estimate.streamed;
    std::vector<std::string> remedies;
    if (ranks > 1) remedies.emplace_back("run fewer ranks");
    if (other.bytes(ranks) < memory.bytes(ranks)) {
        remedies.push_back(
            fmt::format("set evaluator.weights = \"{}\"", streamed ? "resident" : "streamed"));
    }
    if (remedies.empty())
        remedies.emplace_back(room.limited ? "ask for more" : "take one with more");
    const std::string evaluators = fmt::format("{} evaluator{} of {}", ranks, ranks == 1 ? "" : "s",
                                               spell_bytes(memory.bytes_per_evaluator));
    if (ranks * memory.bytes_per_evaluator > room.bytes) {
        return fmt::format(
            "  {}, but {} {}: {}.\n", evaluators,
            room.limited ? "this job's memory limit (of its control group) is" : "this machine has",
            spell_bytes(room.bytes), fmt::join(remedies, " or "));
    }
    return fmt::format(
        "  Beside {}, the {} {} have no room for {} of the model's files, which are then read "
        "again for each document: {}.\n",
        evaluators, spell_bytes(room.bytes),
        room.limited ? "of this job's memory limit (of its control group)" : "of this machine",
        spell_bytes(memory.shared_bytes), fmt::join(remedies, " or "));
}

}  // namespace longrope::cli
