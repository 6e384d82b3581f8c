// SPDX-License-Identifier: Apache-2.0
#include "cli/rank_scores.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>

#include "cli/run_inputs.hpp"
#include "cli/standard_error.hpp"
#include "cli/stop_signals.hpp"
#include "cli/version.hpp"

namespace longrope::cli {
namespace {

coordinator::Requirements requirements_of(const coordinator::Configuration& configuration,
                                          const std::string& stage_model) {
    const InputDigests digests = digests_of(configuration, stage_model);
    coordinator::Requirements required;
    required.result = "evaluation";
    required.model_digest = digests.model;
    required.documents_digest = digests.documents;
    required.build = program_commit();
    required.allow_mixed_numerics = configuration.run.allow_mixed_numerics;
    return required;
}

}  // namespace

std::optional<std::vector<coordinator::JobScores>> score_on_ranks(
    Job& job, const coordinator::Configuration& configuration, const std::string& stage_model,
    const std::vector<coordinator::Job>& jobs) {
    catch_stop_signals();
    std::uint64_t longest = 0;
    for (const coordinator::Job& each : jobs) longest = std::max(longest, each.positions);
    const coordinator::Requirements required = requirements_of(configuration, stage_model);
    protocol::Transport& transport = job.start_workers(
        setup_of(configuration, longest, stage_model), configuration.run.lease_seconds);
    std::set<std::string> notes;  // of evaluators, that have been printed
    const bool terminal = ::isatty(STDERR_FILENO) != 0;
    const auto clear_count = [terminal] {
        if (terminal) print_error("\r{:40}\r", "");
    };
    const auto say = [&clear_count](const std::string& line) {
        clear_count();
        print_error("{}\n", line);
    };
    auto scores = coordinator::score_jobs(
        jobs, transport,
        {configuration.run.max_faults,
         coordinator::Dispatcher::Seconds{configuration.evaluator.deadline_floor_seconds}},
        required,
        [terminal](std::uint64_t scored, std::uint64_t total) {
            if (terminal) print_error("\r{}/{} scored", scored, total);
        },
        requested_stop,
        [&](const protocol::Hello& hello, const std::optional<coordinator::Refusal>& refusal) {
            if (refusal) {
                say(refusal->line);
                return;
            }
            const std::string note = hello.host + ": " + hello.note;
            if (!hello.note.empty() && notes.insert(note).second) say(note);
        });
    clear_count();
    if (!scores) {
        print_error("longrope: {}; nothing was printed\n", requested_stop().value());
        return std::nullopt;
    }
    return scores;
}

}  // namespace longrope::cli
