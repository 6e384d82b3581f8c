// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "coordinator/stage_plan.hpp"
#include "evaluator/cost_estimate.hpp"
#include "evaluator/cuda/memory_plan.hpp"
#include "evaluator/known_gpus.hpp"
#include "evaluator/model/model_config.hpp"

namespace longrope::cli {

/// From the assumed highest to the assumed lowest share of a GPU's peak.
struct TimeRange {
    double shortest = 0.0;  ///< seconds
    double longest = 0.0;   ///< seconds
};

/// Several GPUs, one evaluator each, on the batches of a stage.
struct Occupancy {
    std::uint32_t gpus = 0;
    double utilisation = 0.0;  ///< of the GPU time that is paid for, in [0, 1]
    TimeRange wall;
};

/// A stage on GPUs of one model.
struct GpuStageEstimate {
    std::string stage;
    double original_window = 0.0;
    std::uint64_t positions = 0;               ///< L'
    std::uint32_t tasks_of_an_evaluation = 0;  ///< search documents times lengths
    std::uint64_t individuals = 0;
    evaluator::DocumentFlop flop;         ///< of a task: one document, as a mean over the lengths
    std::uint64_t planned_positions = 0;  ///< that the memory is planned for
    evaluator::cuda::MemoryPlan memory;
    TimeRange task;
    std::uint64_t first_batch = 0;            ///< tasks of baselines and first population
    std::uint64_t tasks_of_an_iteration = 0;  ///< none of a search of the first population alone
    std::uint64_t tasks = 0;
    TimeRange gpu_time;                ///< all tasks, in seconds of one GPU
    std::vector<Occupancy> occupancy;  ///< a row per number of GPUs asked for
};

/// By rounds of equal tasks ("cli/batch_rounds.hpp").
/// @param batches  tasks, in order
[[nodiscard]] Occupancy occupancy(std::span<const std::uint64_t> batches, std::uint32_t gpus,
                                  const TimeRange& task);

/// @param longest  positions of the longest document that the stage's evaluators may be given, in
///                 this stage or another one with its weights
[[nodiscard]] GpuStageEstimate estimate_on_gpu(const coordinator::StagePlan& plan,
                                               std::uint64_t longest,
                                               const evaluator::ModelConfig& model,
                                               const evaluator::GpuModel& gpu,
                                               std::span<const std::uint32_t> gpus);

/// Neither has times of a stage whose evaluator does not fit: they are those of no search.
[[nodiscard]] std::string to_text(const GpuStageEstimate& estimate, const evaluator::GpuModel& gpu);
[[nodiscard]] boost::json::object to_json(const GpuStageEstimate& estimate);

}  // namespace longrope::cli
