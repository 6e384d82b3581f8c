// SPDX-License-Identifier: Apache-2.0
#include "cli/search_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <variant>

#include "cli/estimate_command.hpp"
#include "cli/history_argument.hpp"
#include "cli/model_scaling.hpp"
#include "cli/reporter.hpp"
#include "cli/run_inputs.hpp"
#include "cli/search_check.hpp"
#include "cli/search_result.hpp"
#include "cli/shell_word.hpp"
#include "cli/slurm_job.hpp"
#include "cli/standard_error.hpp"
#include "cli/stop_signals.hpp"
#include "cli/version.hpp"
#include "cli/waiting_stage.hpp"
#include "coordinator/atomic_file.hpp"
#include "coordinator/coordinate.hpp"
#include "coordinator/history_file.hpp"
#include "coordinator/run_lock.hpp"
#include "coordinator/run_plan.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds squeue_patience{10};

std::string describe(const coordinator::RunPlan& plan, const fs::path& directory) {
    if (!plan.resumed()) return fmt::format("starting a new search in {}", directory.string());
    return fmt::format("continuing the search in {}: {} document scores are there",
                       directory.string(), plan.restored());
}

/// @param as_given  the words that lead another verb to the same run: CONFIG, and flags
void print_results(const coordinator::RunPlan& plan, const fs::path& history_file,
                   const std::string& as_given) {
    for (const coordinator::StageRun& stage : plan.stages()) {
        std::cout << stage_result_text(stage.history());
    }
    const auto longest = std::ranges::max_element(
        plan.stages(), {}, [](const auto& stage) { return stage.history().target_tokens; });
    // evaluate reads the held-out documents unless it is told otherwise.
    const coordinator::StagePlan& last = longest->plan();
    const char* const split = !last.heldout_documents.documents.empty()      ? ""
                              : !last.validation_documents.documents.empty() ? " --split validation"
                                                                             : " --split search";
    std::cout << fmt::format(
        "\nThe history is {}. Next:\n"
        "  longrope status {}\n"
        "  longrope evaluate {}{} --tokens {:.0f},{:.0f}{}\n",
        history_file.string(), shell_word(history_file.parent_path().string()), as_given,
        plan.stages().size() == 1 ? ""
                                  : fmt::format(" --stage {}", shell_word(longest->history().name)),
        longest->history().original_window, longest->history().target_tokens, split);
    std::cout.flush();
}

/// A run that can only wait is stored as waiting without a worker being started.
ExitCode wait_for_model(coordinator::RunPlan& plan, const coordinator::MissingModel& missing,
                        const fs::path& history_file, const coordinator::RunLock& lock) {
    plan.header().program_version = program_version();
    plan.header().program_commit = program_commit();
    plan.header().libraries = library_versions();
    plan.header().state = coordinator::RunState::waiting;
    plan.header().state_reason = coordinator::waiting_reason(missing);
    coordinator::write_history(history_file, plan.snapshot(), [&lock] { lock.check(); });
    std::cout << waiting_text(plan.configuration(), missing.stage, history_file) << std::flush;
    return ExitCode::waiting;
}

/// When the search must be over because its Slurm job ends, if it is in one whose end is known.
std::optional<TimePoint> end_of_slurm_job(Reporter& reporter) {
    const std::optional<SlurmJob> slurm = slurm_job();
    if (!slurm) return std::nullopt;
    const SlurmTimeLeft left = find_time_left(*slurm, squeue_patience);
    const auto now = std::chrono::steady_clock::now();
    reporter.log(describe(*slurm, left));
    const auto* known = std::get_if<std::chrono::seconds>(&left);
    if (!known) return std::nullopt;
    return now + *known - margin_before_end(*known);
}

ExitCode search(Job& job, const coordinator::Configuration& configuration,
                const std::string& as_given, ProgressStyle style, TimePoint begin) {
    const fs::path directory{configuration.run.directory};
    check_run_directory(directory);
    const coordinator::RunFacts facts = read_facts(configuration);
    const fs::path history_file = directory / "search.h5";
    const coordinator::RunLock lock{
        directory, coordinator::this_process(), std::chrono::seconds{60},
        [](const std::string& waiting) { print_error("{}\n", waiting); }, requested_stop};
    coordinator::remove_stale_temporaries(directory);  // before the history is read, never after
    coordinator::RunPlan plan{configuration, facts, coordinator::read_history(history_file)};
    settle_tokenizer(facts, plan.resumed());
    if (plan.complete()) {
        // A start that waited for a stage which is no longer asked for, say, left another word.
        if (plan.header().state != coordinator::RunState::complete) {
            plan.header().state = coordinator::RunState::complete;
            plan.header().state_reason = coordinator::all_complete;
            coordinator::write_history(history_file, plan.snapshot(), [&lock] { lock.check(); });
        }
        std::cout << fmt::format("The search in {} is complete; nothing is left to do.\n",
                                 directory.string());
        print_results(plan, history_file, as_given);
        return ExitCode::done;
    }
    if (const auto missing = plan.missing_model()) {
        return wait_for_model(plan, *missing, history_file, lock);
    }
    plan.header().program_version = program_version();
    plan.header().program_commit = program_commit();
    plan.header().libraries = library_versions();
    Reporter reporter{style, directory / "log.txt",
                      std::chrono::duration<double>{configuration.run.snapshot_seconds}};
    reporter.log(fmt::format("longrope {} ({}): {}", program_version(), program_commit(),
                             describe(plan, directory)));
    if (const std::string line = replaced_scaling(configuration); !line.empty()) {
        reporter.log(line);
    }
    const auto stop_by =
        end_of_search(configuration.run.time_limit_seconds, begin, end_of_slurm_job(reporter));
    try {
        const std::vector<protocol::Setup> setups = setups_of(configuration);
        protocol::Transport& transport =
            job.start_workers(setups.at(plan.next_stage()), configuration.run.lease_seconds);
        const coordinator::Ending ending = coordinator::coordinate(
            plan, transport, history_file, lock, reporter, requested_stop, stop_by, setups);
        if (ending == coordinator::Ending::stopped_early) {
            reporter.conclude(
                fmt::format("stopped early, {}; {} document scores are stored: run the "
                            "same command to go on",
                            plan.header().state_reason, reporter.stored_scores()));
            return ExitCode::stopped_early;
        }
        if (ending == coordinator::Ending::waiting) {
            reporter.conclude(plan.header().state_reason);
            for (const coordinator::StageRun& stage : plan.stages()) {
                if (stage.finished()) std::cout << stage_result_text(stage.history());
            }
            std::cout << waiting_text(configuration, plan.next_stage(), history_file) << std::flush;
            return ExitCode::waiting;
        }
        reporter.conclude("the search is complete");
    } catch (...) {
        reporter.log(fmt::format("error: {}", message_of_current_exception()));
        return exit_code_of_current_exception();
    }
    print_results(plan, history_file, as_given);
    return ExitCode::done;
}

std::uint32_t parse_ranks(const std::string& text) {
    const std::uint32_t ranks = spelled_number<std::uint32_t>(text).value_or(0);
    if (ranks == 0) throw UsageError{fmt::format("--ranks {}: expected a number from 1", text)};
    return ranks;
}

}  // namespace

ExitCode run_search(Job& job, const Words& words) {
    const TimePoint begin = std::chrono::steady_clock::now();
    cxxopts::Options options{
        "longrope search",
        "Searches rescale factors as the configuration says; started again, it goes on where it "
        "was.\nUnder mpirun every rank evaluates, and rank 0 coordinates besides:\n"
        "  mpirun --bind-to none --enable-recovery -n RANKS longrope search CONFIG\n"};
    options.positional_help("CONFIG");
    options.add_options()("CONFIG", "configuration file (TOML)",
                          cxxopts::value<std::vector<std::string>>());
    options.add_options()("check", "validate everything, estimate memory and time, run nothing");
    options.add_options()(
        "ranks",
        "with --check: estimate for a job of this many ranks elsewhere, each with "
        "--threads cores like this machine's",
        cxxopts::value<std::string>());
    options.add_options()("progress", "auto, bar or lines",
                          cxxopts::value<std::string>()->default_value("auto"));
    options.add_options()("json", "with --check: print JSON");
    options.parse_positional({"CONFIG"});
    add_estimate_flags(options);
    add_setting_flags(options);
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const std::string file = positional(*parsed, "CONFIG", "search");
    refuse_run(file, "search");
    const ProgressStyle style = progress_style((*parsed)["progress"].as<std::string>());
    if (parsed->count("gpus") > 0 && !names_device(*parsed)) {
        throw UsageError{
            "--gpus goes with --device: how many of which GPU, for example --device h100-80gb"};
    }
    if (parsed->count("stage") > 0 && parsed->count("iterations") == 0 && !names_device(*parsed)) {
        throw UsageError{"--stage goes with --iterations, or with --check and --device"};
    }
    if (parsed->count("ranks") > 0 && names_device(*parsed)) {
        throw UsageError{
            "--ranks goes with --check on CPUs; with --device, --gpus says how many GPUs"};
    }
    const coordinator::Configuration configuration =
        coordinator::read_configuration(file, overrides_of(*parsed));
    if (parsed->count("check") > 0) {
        release_stop_signals();  // nothing is computed that would be lost
        if (names_device(*parsed)) {
            return print_gpu_estimate(configuration, *parsed, parsed->count("json") > 0);
        }
        EstimatedJob estimated{static_cast<std::uint32_t>(job.ranks()), false};
        if (parsed->count("ranks") > 0) {
            estimated = {parse_ranks((*parsed)["ranks"].as<std::string>()), true};
        }
        return check_search(configuration, estimated, parsed->count("json") > 0);
    }
    if (parsed->count("ranks") > 0) {
        throw UsageError{"--ranks goes with --check; mpirun -n says how many ranks search"};
    }
    if (parsed->count("json") > 0) throw UsageError{"--json goes with --check"};
    if (names_device(*parsed)) throw UsageError{"--device goes with --check"};
    std::string as_given = shell_word(file);
    if (parsed->count("run-directory") > 0) {
        as_given += " --run-directory " + shell_word(configuration.run.directory);
    }
    return search(job, configuration, as_given, style, begin);
}

}  // namespace longrope::cli
