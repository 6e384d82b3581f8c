// SPDX-License-Identifier: Apache-2.0
#include "cli/status_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cli/history_argument.hpp"
#include "cli/json_text.hpp"
#include "cli/run_inputs.hpp"
#include "cli/search_result.hpp"
#include "cli/seen_run.hpp"
#include "cli/waiting_stage.hpp"
#include "coordinator/final_choice.hpp"
#include "coordinator/score_table.hpp"
#include "coordinator/stage_plan.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;
using coordinator::Configuration;
using coordinator::RunHistory;
using coordinator::RunState;
using coordinator::StageHistory;
using coordinator::StageSettings;
using coordinator::Status;

constexpr std::chrono::seconds watch_interval{2};

std::uint32_t finished_individuals(const StageHistory& stage) {
    std::uint32_t count = 0;
    for (const auto& row : stage.evaluations.rows) count += row.status != Status::pending ? 1U : 0U;
    return count;
}

/// What the run was last started with; nothing where this build does not accept all of it.
std::optional<Configuration> known_configuration(const RunHistory& history, const fs::path& file) {
    try {
        return configuration_of(history, file, {});
    } catch (const coordinator::ConfigurationError&) {
        return std::nullopt;  // of another version: what was found can be told all the same
    }
}

/// @returns null where the configuration does not have the stage, or is not known
const StageSettings* settings_of(const std::optional<Configuration>& configuration,
                                 const StageHistory& stage) {
    if (!configuration) return nullptr;
    const auto found = std::ranges::find(configuration->stages, stage.name, &StageSettings::name);
    return found == configuration->stages.end() ? nullptr : &*found;
}

/// How far the evolution goes; an earlier start may have gone beyond what is asked for now.
/// @param settings  null: zeros, for not known
coordinator::EvolutionSize size_of(const StageSettings* settings, const StageHistory& stage) {
    if (settings == nullptr) return {};
    const coordinator::EvolutionSize size = coordinator::evolution_size(*settings);
    return {std::max<std::uint64_t>(size.generations, stage.generations.size()),
            std::max<std::uint64_t>(size.individuals, stage.evaluations.rows.size())};
}

std::vector<StageSettings> stages_to_come(const std::optional<Configuration>& configuration,
                                          const RunHistory& history) {
    std::vector<StageSettings> to_come;
    if (!configuration) return to_come;
    std::ranges::copy_if(
        configuration->stages, std::back_inserter(to_come), [&history](const StageSettings& stage) {
            return std::ranges::find(history.stages, stage.name, &StageHistory::name) ==
                   history.stages.end();
        });
    return to_come;
}

/// Index of the stage that a waiting run waits for; nothing for other runs.
std::optional<std::size_t> waiting_stage(const SeenRun& run,
                                         const std::optional<Configuration>& configuration) {
    const RunHistory& history = run.history;
    if (history.state != RunState::waiting || !run.holder.empty() || !configuration) {
        return std::nullopt;
    }
    const auto& stages = configuration->stages;
    const auto finished = [&history](const StageSettings& stage) {
        const auto found = std::ranges::find(history.stages, stage.name, &StageHistory::name);
        return found != history.stages.end() && found->complete;
    };
    const auto waits = std::ranges::find_if_not(stages, finished);
    if (waits == stages.end()) return std::nullopt;
    return static_cast<std::size_t>(waits - stages.begin());
}

/// What the state is due to, as far as can be seen from here and now.
std::string reason_now(const SeenRun& run, const std::optional<Configuration>& configuration) {
    const auto index = waiting_stage(run, configuration);
    if (!index || !is_model_there(configuration->stages[*index].model)) return state_reason(run);
    return arrived_text(configuration->stages[*index]);
}

/// Lengths are whole numbers; JSON is to show them as such.
boost::json::value tokens(double length) {
    const bool whole = length == std::floor(length) && std::abs(length) < 0x1p53;
    return whole ? boost::json::value(static_cast<std::int64_t>(length)) : length;
}

/// "1 fault", "2 faults", "3 of 41 generations"
/// @param total  0: not known
std::string counted(std::uint64_t number, std::string_view what, std::uint64_t total = 0) {
    const std::string of = total > 0 ? fmt::format("{} of ", number) : "";
    const std::uint64_t last = total > 0 ? total : number;
    return fmt::format("{}{} {}{}", of, last, what, last == 1 ? "" : "s");
}

/// @param lives  whether the run is at work; what was busy when it ended is not any more
std::string worker_line(const coordinator::WorkerRow& worker, bool lives) {
    // Until its evaluator is ready a worker has told neither host nor device.
    const std::string place =
        worker.host.empty() ? "" : fmt::format(" on {} ({})", worker.host, worker.device);
    return fmt::format("worker {}{}: {}, {}, {}, busy {:.1f} s\n", worker.rank, place,
                       !lives && worker.state == "busy" ? "ended" : worker.state,
                       counted(worker.tasks, "task"), counted(worker.faults, "fault"),
                       worker.busy_seconds);
}

std::string stage_line(const StageHistory& stage, const StageSettings* settings) {
    const coordinator::EvolutionSize size = size_of(settings, stage);
    std::string line =
        fmt::format("stage \"{}\" ({:.0f} -> {:.0f} tokens): {}, {} finished, {}, {}", stage.name,
                    stage.original_window, stage.target_tokens,
                    counted(stage.generations.size(), "generation", size.generations),
                    counted(finished_individuals(stage), "individual", size.individuals),
                    counted(coordinator::scores_in(stage), "document score"),
                    counted(stage.failures.size(), "fault"));
    if (const std::uint64_t others = coordinator::other_numerics_in(stage); others > 0) {
        line += fmt::format(", {} in another numerics class", counted(others, "document score"));
    }
    if (!stage.ended_by.empty()) {
        line += fmt::format("; evolution ended by stage.{}", stage.ended_by);
    }
    if (stage.best.individual >= 0) {
        line += fmt::format("; best individual {} with perplexity {:.4f} (chosen by {})",
                            stage.best.individual, stage.best.perplexity, stage.best.chosen_by);
    }
    return line + "\n";
}

/// A search that goes on is known by the best of the search until its end, where it chooses anew.
std::string earlier_lines(const StageHistory& stage) {
    std::string lines;
    for (const coordinator::FinalChoice& choice : coordinator::earlier_choices(stage)) {
        lines += fmt::format(
            "stage \"{}\": after {} iterations individual {} was chosen, with perplexity {:.4f} on "
            "the validation documents (export --individual {})\n",
            stage.name, choice.iterations, choice.individual, choice.perplexity, choice.individual);
    }
    return lines;
}

void print_text(const SeenRun& run, const fs::path& file) {
    const RunHistory& history = run.history;
    const auto configuration = known_configuration(history, file);
    std::cout << fmt::format("{}: {}\nbegun {}, stored {}, starts {}, numerics {}\n",
                             state_name(run), reason_now(run, configuration), history.created,
                             history.updated, history.starts, history.numerics_class);
    if (!run.last_logged.empty()) {
        std::cout << fmt::format("{} ends with: {}\n", log_beside(file).string(), run.last_logged);
    }
    for (const StageHistory& stage : history.stages) {
        std::cout << stage_line(stage, settings_of(configuration, stage));
        if (!stage.complete) std::cout << earlier_lines(stage);
    }
    for (const StageSettings& stage : stages_to_come(configuration, history)) {
        const coordinator::EvolutionSize size = coordinator::evolution_size(stage);
        std::cout << fmt::format("stage \"{}\" ({} tokens): not begun; {}, {}\n", stage.name,
                                 stage.target_tokens, counted(size.generations, "generation"),
                                 counted(size.individuals, "individual"));
    }
    for (const auto& worker : history.workers) {
        std::cout << worker_line(worker, !run.holder.empty());
    }
    for (const StageHistory& stage : history.stages) {
        if (stage.complete) std::cout << stage_result_text(stage);
    }
    const auto waiting = waiting_stage(run, configuration);
    if (waiting && !is_model_there(configuration->stages[*waiting].model)) {
        std::cout << waiting_text(*configuration, *waiting, file);
    }
    std::cout.flush();
}

/// What is planned of a stage.
void add_sizes(boost::json::object& entry, const StageSettings& settings,
               const coordinator::EvolutionSize& size) {
    entry["iterations"] = settings.iterations;
    entry["population"] = settings.population;
    entry["generations_total"] = size.generations;
    entry["individuals_total"] = size.individuals;
}

void print_json(const SeenRun& run, const fs::path& file) {
    const RunHistory& history = run.history;
    const auto configuration = known_configuration(history, file);
    boost::json::array stages;
    for (const StageHistory& stage : history.stages) {
        boost::json::object entry{{"name", stage.name},
                                  {"kind", stage.kind},
                                  {"base", stage.base.stage},
                                  {"target_tokens", tokens(stage.target_tokens)},
                                  {"original_window", tokens(stage.original_window)},
                                  {"complete", stage.complete},
                                  {"ended_by", stage.ended_by},
                                  {"task_seconds", stage.task_seconds},
                                  {"generations", stage.generations.size()},
                                  {"individuals_finished", finished_individuals(stage)},
                                  {"document_scores", coordinator::scores_in(stage)},
                                  {"other_numerics", coordinator::other_numerics_in(stage)},
                                  {"faults", stage.failures.size()}};
        if (const StageSettings* settings = settings_of(configuration, stage)) {
            add_sizes(entry, *settings, size_of(settings, stage));
        }
        if (stage.best.individual >= 0) {
            entry["best"] = {{"individual", stage.best.individual},
                             {"chosen_by", stage.best.chosen_by},
                             {"perplexity", stage.best.perplexity},
                             {"start_tokens", stage.best.start_tokens},
                             {"attention_scale", stage.best.attention_scale},
                             {"factors", boost::json::value_from(stage.best.factors)}};
        }
        boost::json::array earlier;
        for (const coordinator::FinalChoice& choice : coordinator::earlier_choices(stage)) {
            earlier.push_back({{"iterations", choice.iterations},
                               {"individual", choice.individual},
                               {"start_tokens", choice.start_tokens},
                               {"validation_perplexity", choice.perplexity}});
        }
        entry["earlier_choices"] = std::move(earlier);
        stages.push_back(std::move(entry));
    }
    boost::json::array to_come;
    for (const StageSettings& stage : stages_to_come(configuration, history)) {
        boost::json::object entry{{"name", stage.name},
                                  {"kind", stage.kind},
                                  {"base", stage.base},
                                  {"model", stage.model},
                                  {"target_tokens", stage.target_tokens}};
        add_sizes(entry, stage, coordinator::evolution_size(stage));
        to_come.push_back(std::move(entry));
    }
    boost::json::array workers;
    for (const auto& worker : history.workers) {
        workers.push_back({{"rank", worker.rank},
                           {"host", worker.host},
                           {"device", worker.device},
                           {"state", worker.state},
                           {"tasks", worker.tasks},
                           {"faults", worker.faults},
                           {"busy_seconds", worker.busy_seconds}});
    }
    boost::json::object report{{"state", state_name(run)},
                               {"reason", reason_now(run, configuration)},
                               {"last_logged", run.last_logged},
                               {"run_uuid", history.run_uuid},
                               {"created", history.created},
                               {"updated", history.updated},
                               {"starts", history.starts},
                               {"seed", history.seed},
                               {"numerics_class", history.numerics_class},
                               {"stages", std::move(stages)},
                               {"stages_to_come", std::move(to_come)},
                               {"workers", std::move(workers)}};
    if (const auto index = waiting_stage(run, configuration)) {
        const StageSettings& stage = configuration->stages[*index];
        report["waiting_for"] = {{"stage", stage.name},
                                 {"model", stage.model},
                                 {"model_is_there", is_model_there(stage.model)},
                                 {"command", finetune_command(*configuration, *index, file)}};
    }
    std::cout << json_line(report) << std::flush;
}

}  // namespace

ExitCode run_status(const Words& words) {
    cxxopts::Options options{
        "longrope status", "How far a search is, read from its history, while it runs or after.\n"};
    options.positional_help("DIRECTORY|CONFIG|FILE.h5");
    options.add_options()("DIRECTORY", "run directory, its configuration file, or the history",
                          cxxopts::value<std::vector<std::string>>());
    options.add_options()("watch", "print again every two seconds until the search ends");
    options.add_options()("should-requeue",
                          "print nothing; exit with 0 if the job should be queued again, else 1");
    options.add_options()("json", "print JSON");
    options.parse_positional({"DIRECTORY"});
    add_setting_flags(options, {"run-directory"});
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const fs::path file = history_argument(positional(*parsed, "DIRECTORY", "status"), *parsed);
    while (true) {
        const SeenRun run = look_at_run(file);
        if (parsed->count("should-requeue") > 0) {
            return should_requeue(run) ? ExitCode::done : ExitCode::system_error;
        }
        (parsed->count("json") > 0 ? print_json : print_text)(run, file);
        if (parsed->count("watch") == 0 || run.holder.empty()) return ExitCode::done;
        std::this_thread::sleep_for(watch_interval);
        std::cout << "\n";
    }
}

}  // namespace longrope::cli
