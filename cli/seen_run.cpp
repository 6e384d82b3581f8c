// SPDX-License-Identifier: Apache-2.0
#include "cli/seen_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <ios>
#include <string_view>
#include <system_error>
#include <utility>

#include "cli/history_argument.hpp"
#include "coordinator/run_lock.hpp"
#include "coordinator/score_table.hpp"
#include "coordinator/utf8_text.hpp"

namespace longrope::cli {
namespace {

using coordinator::RunState;

constexpr std::uint64_t most_idle_starts = 2;

SeenRun look_once(const std::filesystem::path& history_file) {
    coordinator::RunHistory history = read_present_history(history_file);
    return {std::move(history), holder_of(history_file.parent_path()), ""};
}

bool is_interrupted(const SeenRun& run) {
    return run.history.state == RunState::running && run.holder.empty();
}

/// A start reads and replays what there is before it stores its first snapshot.
bool is_starting(const SeenRun& run) {
    return run.history.state != RunState::running && !run.holder.empty();
}

std::string stored_state(const coordinator::RunHistory& history) {
    switch (history.state) {
        case RunState::running:
            return "running";
        case RunState::complete:
            return "complete";
        case RunState::stopped_early:
            return "stopped early";
        case RunState::failed:
            return "failed";
        case RunState::waiting:
            return "waiting";
    }
    return "unknown";
}

/// Whether a line of a log begins an entry, by the time that it begins with: messages may have
/// several lines.
bool begins_entry(std::string_view line) {
    constexpr std::string_view pattern = "0000-00-00T00:00:00Z  ";
    return line.size() > pattern.size() &&
           std::equal(pattern.begin(), pattern.end(), line.begin(), [](char wanted, char found) {
               return wanted == '0' ? found >= '0' && found <= '9' : found == wanted;
           });
}

/// @returns text that JSON can hold
std::string last_entry(const std::filesystem::path& log) {
    constexpr std::streamoff most = 64 << 10;
    std::error_code error;
    if (!std::filesystem::is_regular_file(log, error)) return "";  // a pipe would let us wait
    std::ifstream file{log, std::ios::binary | std::ios::ate};
    const std::streamoff size = file.tellg();
    file.seekg(std::max<std::streamoff>(size - most, 0));
    std::string entry;
    for (std::string line; std::getline(file, line);) {
        if (begins_entry(line)) {
            entry = line;
        } else if (!entry.empty()) {
            entry += "\n" + line;
        }
    }
    return coordinator::storable_text(entry);
}

std::uint64_t scored(const coordinator::RunHistory& history) {
    std::uint64_t count = 0;
    for (const auto& stage : history.stages) count += coordinator::scores_in(stage);
    return count;
}

}  // namespace

std::string holder_of(const std::filesystem::path& run_directory) {
    const auto owner = coordinator::lock_owner(run_directory);
    if (!owner) return "";
    switch (coordinator::holder_state(*owner, coordinator::this_process())) {
        case coordinator::Holder::gone:
            return "";
        case coordinator::Holder::alive:
            return coordinator::describe(*owner);
        case coordinator::Holder::unknown:
            break;
    }
    return coordinator::describe(*owner) + ", unless that has ended";
}

std::filesystem::path log_beside(const std::filesystem::path& history_file) {
    return history_file.parent_path() / "log.txt";
}

SeenRun look_at_run(const std::filesystem::path& history_file) {
    SeenRun run = look_once(history_file);
    // It may have ended between the two looks: its last snapshot was stored before its lock went.
    if (is_interrupted(run)) run = look_once(history_file);
    if (is_interrupted(run)) run.last_logged = last_entry(log_beside(history_file));
    return run;
}

std::string state_name(const SeenRun& run) {
    if (is_starting(run)) return "starting";
    return is_interrupted(run) ? "interrupted" : stored_state(run.history);
}

std::string state_reason(const SeenRun& run) {
    const coordinator::RunHistory& history = run.history;
    if (is_starting(run)) {
        return fmt::format("{} begins, or ends just now; stored is: {}, {}", run.holder,
                           stored_state(history), history.state_reason);
    }
    if (!is_interrupted(run)) return history.state_reason;
    return "no coordinator is at work; the same command goes on";
}

bool should_requeue(const SeenRun& run) {
    if (!run.holder.empty()) return false;
    const bool ended_early = run.history.state == RunState::stopped_early || is_interrupted(run);
    const bool idle = scored(run.history) <= run.history.stored_at_start;
    return ended_early && (!idle || run.history.idle_starts < most_idle_starts);
}

}  // namespace longrope::cli
