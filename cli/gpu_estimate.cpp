// SPDX-License-Identifier: Apache-2.0
#include "cli/gpu_estimate.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <numeric>
#include <utility>

#include "cli/batch_rounds.hpp"
#include "cli/machine.hpp"
#include "cli/reporter.hpp"

namespace longrope::cli {
namespace {

namespace json = boost::json;

TimeRange scaled(const TimeRange& range, double by) {
    return {range.shortest * by, range.longest * by};
}

std::string spell(const TimeRange& range) {
    return fmt::format("{} to {}", spell_duration(range.shortest), spell_duration(range.longest));
}

std::string spell_hours(const TimeRange& range) {
    return fmt::format("{:.1f} to {:.1f}", range.shortest / 3600.0, range.longest / 3600.0);
}

json::object to_json(const TimeRange& range) {
    return {{"shortest", range.shortest}, {"longest", range.longest}};
}

}  // namespace

Occupancy occupancy(std::span<const std::uint64_t> batches, std::uint32_t gpus,
                    const TimeRange& task) {
    const auto tasks = std::accumulate(batches.begin(), batches.end(), std::uint64_t{0});
    const auto rounds = static_cast<double>(count_rounds(batches, gpus));
    const double paid = rounds * gpus;
    return {gpus, paid > 0.0 ? static_cast<double>(tasks) / paid : 0.0, scaled(task, rounds)};
}

GpuStageEstimate estimate_on_gpu(const coordinator::StagePlan& plan, std::uint64_t longest,
                                 const evaluator::ModelConfig& model,
                                 const evaluator::GpuModel& gpu,
                                 std::span<const std::uint32_t> gpus) {
    evaluator::cuda::require_served_heads(model);
    GpuStageEstimate estimate;
    estimate.stage = plan.settings.name;
    estimate.original_window = plan.original_window;
    estimate.positions = plan.positions;
    estimate.tasks_of_an_evaluation =
        static_cast<std::uint32_t>(plan.search_documents.documents.size() * plan.lengths.size());
    estimate.individuals = plan.individuals();
    for (const coordinator::ScoredLength& length : plan.lengths) {
        const evaluator::DocumentFlop flop = evaluator::count_flop(model, length.tokens);
        const auto share = 1.0 / static_cast<double>(plan.lengths.size());
        estimate.flop.linear += share * flop.linear;
        estimate.flop.attention += share * flop.attention;
        estimate.flop.vocabulary += share * flop.vocabulary;
    }
    estimate.planned_positions = longest;
    estimate.memory = evaluator::cuda::plan_memory(model, longest, {.total = gpu.memory_bytes});
    const double at_peak = estimate.flop.total() / gpu.peak_flops;
    estimate.task = {at_peak / evaluator::assumed_highest_share,
                     at_peak / evaluator::assumed_lowest_share};
    const std::vector<std::uint64_t> batches = plan.batches();
    estimate.first_batch = batches.front();
    estimate.tasks_of_an_iteration = plan.search.iterations == 0 ? 0 : plan.tasks_at_once();
    estimate.tasks = plan.tasks();
    estimate.gpu_time = scaled(estimate.task, static_cast<double>(estimate.tasks));
    for (const std::uint32_t number : gpus) {
        estimate.occupancy.push_back(occupancy(batches, number, estimate.task));
    }
    return estimate;
}

std::string to_text(const GpuStageEstimate& estimate, const evaluator::GpuModel& gpu) {
    const evaluator::cuda::MemoryPlan& memory = estimate.memory;
    std::string text =
        fmt::format("\nStage \"{}\": {:.0f} -> {} tokens on {} ({}, {:.0f} TFLOP/s)\n",
                    estimate.stage, estimate.original_window, estimate.positions, gpu.name,
                    spell_bytes(gpu.memory_bytes), gpu.peak_flops / 1e12);
    const auto memory_row = [&text](const std::string& what, std::uint64_t bytes) {
        text += fmt::format("    {:<44} {:>10}\n", what, spell_bytes(bytes));
    };
    const bool streamed = memory.placement == evaluator::cuda::WeightPlacement::streamed;
    text += estimate.planned_positions == estimate.positions
                ? "  memory of an evaluator\n"
                : fmt::format("  memory of an evaluator, which another stage gives {} tokens\n",
                              estimate.planned_positions);
    memory_row(streamed ? "matrices, two layers at a time" : "matrices, all layers",
               memory.matrix_bytes);
    memory_row("embedding, vocabulary projection, vectors",
               memory.table_bytes + memory.vector_bytes);
    memory_row("hidden states of a document", memory.hidden_bytes);
    memory_row("keys and values of a layer", memory.key_value_bytes);
    memory_row("rotary table", memory.rotary_bytes);
    memory_row("chunks, attention, logits",
               memory.chunk_bytes + memory.attention_bytes + memory.logits_bytes);
    memory_row("CUDA and its libraries", memory.reserved_bytes);
    memory_row(memory.fits() ? "in all: fits" : "in all: DOES NOT FIT", memory.device_bytes());
    if (streamed) memory_row("page-locked memory of the host", memory.pinned_host_bytes);
    if (!memory.fits()) return text;
    const evaluator::DocumentFlop& flop = estimate.flop;
    text += fmt::format(
        "  a task (one document)   {:.4g} PFLOP: {:.0f} % attention, {:.0f} % layers, {:.0f} % "
        "vocabulary; {}\n"
        "  an evaluation           {} tasks; {} of one GPU\n"
        "  tasks                   {} at first, {}{} in all for {} individuals\n"
        "  GPU-hours of computing  {}\n\n"
        "    GPUs  utilisation  GPU-hours paid    wall time\n",
        flop.total() / 1e15, 100.0 * flop.attention / flop.total(),
        100.0 * flop.linear / flop.total(), 100.0 * flop.vocabulary / flop.total(),
        spell(estimate.task), estimate.tasks_of_an_evaluation,
        spell(scaled(estimate.task, estimate.tasks_of_an_evaluation)), estimate.first_batch,
        estimate.tasks_of_an_iteration == 0
            ? ""
            : fmt::format("{} per iteration, ", estimate.tasks_of_an_iteration),
        estimate.tasks, estimate.individuals, spell_hours(estimate.gpu_time));
    for (const Occupancy& row : estimate.occupancy) {
        text +=
            fmt::format("    {:>4}  {:>9.1f} %  {:<16}  {}\n", row.gpus, 100.0 * row.utilisation,
                        spell_hours(scaled(row.wall, row.gpus)), spell(row.wall));
    }
    return text;
}

json::object to_json(const GpuStageEstimate& estimate) {
    const evaluator::cuda::MemoryPlan& memory = estimate.memory;
    json::array rows;  // none of a search that cannot be
    for (const Occupancy& row : memory.fits() ? estimate.occupancy : std::vector<Occupancy>{}) {
        rows.push_back({{"gpus", row.gpus},
                        {"utilisation", row.utilisation},
                        {"wall_seconds", to_json(row.wall)}});
    }
    const bool streamed = memory.placement == evaluator::cuda::WeightPlacement::streamed;
    return {{"name", estimate.stage},
            {"original_window", estimate.original_window},
            {"positions", estimate.positions},
            {"individuals", estimate.individuals},
            {"tasks_of_an_evaluation", estimate.tasks_of_an_evaluation},
            {"memory",
             {{"positions", estimate.planned_positions},
              {"fits", memory.fits()},
              {"weights", streamed ? "streamed" : "resident"},
              {"device_bytes", memory.device_bytes()},
              {"had_bytes", memory.had_bytes},
              {"matrix_bytes", memory.matrix_bytes},
              {"table_bytes", memory.table_bytes},
              {"vector_bytes", memory.vector_bytes},
              {"hidden_bytes", memory.hidden_bytes},
              {"key_value_bytes", memory.key_value_bytes},
              {"rotary_bytes", memory.rotary_bytes},
              {"chunk_bytes", memory.chunk_bytes},
              {"attention_bytes", memory.attention_bytes},
              {"logits_bytes", memory.logits_bytes},
              {"reserved_bytes", memory.reserved_bytes},
              {"pinned_host_bytes", memory.pinned_host_bytes}}},
            {"flop_per_task",
             {{"linear", estimate.flop.linear},
              {"attention", estimate.flop.attention},
              {"vocabulary", estimate.flop.vocabulary}}},
            {"task_seconds", memory.fits() ? json::value(to_json(estimate.task)) : nullptr},
            {"tasks", estimate.tasks},
            {"first_tasks", estimate.first_batch},
            {"tasks_of_an_iteration", estimate.tasks_of_an_iteration},
            {"gpu_seconds", memory.fits() ? json::value(to_json(estimate.gpu_time)) : nullptr},
            {"occupancy", std::move(rows)}};
}

}  // namespace longrope::cli
