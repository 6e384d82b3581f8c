// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/machine.hpp"
#include "coordinator/configuration.hpp"
#include "coordinator/run_plan.hpp"
#include "coordinator/stage_plan.hpp"
#include "evaluator/weight_residency.hpp"

namespace longrope::cli {

/// The job that a search is estimated for.
struct EstimatedJob {
    std::uint32_t ranks = 1;
    /// On machines like this one, as many as its ranks and their threads need; otherwise it is this
    /// process's own job, whose ranks share the cores of this machine.
    bool elsewhere = false;
};

/// What evaluators on CPUs hold.
struct EvaluatorMemory {
    std::uint64_t bytes_per_evaluator = 0;
    std::uint64_t shared_bytes =
        0;  ///< the model's files in the page cache, if weights are streamed

    [[nodiscard]] std::uint64_t bytes(std::uint32_t evaluators) const noexcept {
        return evaluators * bytes_per_evaluator + shared_bytes;
    }
};

/// What they hold either way, of which one was chosen.
struct MemoryEstimate {
    evaluator::WeightResidency weights = evaluator::WeightResidency::resident;
    EvaluatorMemory resident;
    EvaluatorMemory streamed;

    [[nodiscard]] const EvaluatorMemory& chosen() const noexcept {
        return weights == evaluator::WeightResidency::streamed ? streamed : resident;
    }
};

/// What is left of a stage and what it takes on CPUs.
struct StageEstimate {
    coordinator::StagePlan plan;
    std::uint64_t tasks_left = 0;
    double flop_per_task = 0.0;  ///< 0: no model computes, the backend is synthetic
    MemoryEstimate memory;
    double task_seconds = 0.0;  ///< of a task while all ranks compute
    double seconds = 0.0;       ///< for what is left, on all ranks, batch after batch
};

/// One for each stage of the configuration, computed from the shape of its model, or of model.path
/// while that does not exist.
[[nodiscard]] std::vector<StageEstimate> estimate_stages(
    const coordinator::Configuration& configuration, const coordinator::RunPlan& plan,
    const EstimatedJob& job);

/// The instruction set whose speed is assumed.
[[nodiscard]] std::string assumed_instruction_set(const coordinator::BackendSettings& settings);

/// Whether the evaluators of this machine compute on its CPU.
[[nodiscard]] bool is_on_cpu(const coordinator::BackendSettings& settings);

/// A line that names what helps if the first tasks would count as hanging; else nothing.
[[nodiscard]] std::string deadline_hint(double task_seconds, double floor_seconds);

/// A line that names what helps if a machine, or what this job may have of it, cannot hold the
/// evaluators of its ranks, or not the model's files beside them; else nothing.
[[nodiscard]] std::string memory_shortage(std::uint32_t ranks, const MemoryEstimate& estimate,
                                          const MemoryRoom& room);

}  // namespace longrope::cli
