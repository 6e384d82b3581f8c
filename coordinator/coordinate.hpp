// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "coordinator/run_lock.hpp"
#include "coordinator/run_plan.hpp"
#include "coordinator/worker_roster.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// Why a search ended without an error.
enum class Ending : std::uint8_t {
    complete,       ///< every stage is finished and stored
    stopped_early,  ///< asked to stop, or the time limit is near: all is stored, run again
    waiting,        ///< the next stage's model does not exist yet: all is stored
};

/// How far a stage is.
struct Progress {
    const StageRun& stage;
    double seconds = 0.0;        ///< since the stage began in this process
    std::uint64_t computed = 0;  ///< document scores computed in that time
    std::size_t workers = 0;     ///< that can take tasks
};

/// Who watches a search. Called from the event loop, so it must return at once.
class Watcher {
public:
    Watcher() = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    virtual ~Watcher() = default;
    virtual void log(const std::string& line) = 0;
    virtual void generation(const StageRun& stage, const GenerationRow& row) = 0;
    virtual void progress(const Progress& progress) = 0;
    /// This many document scores survive any crash from now on.
    virtual void stored(std::uint64_t document_scores) = 0;
};

/// Runs what is left of the plan on the workers of `transport`, and stores it in `history_file`
/// whenever a snapshot is due, before it ends, and when it fails.
/// @param lock         of the run directory; checked before each snapshot is put in place
/// @param setups       what the workers evaluate each stage of the configuration with; they were
///                     started with that of `plan.next_stage()`. Empty: one serves all stages
/// @param stop_reason  why to stop early, or nothing; asked in every turn of the loop
/// @param stop_by      when the search must be over, also by run.time_limit_seconds
/// @throws NoWorkers, NumericsMismatch, NoParents, ReplayMismatch, LockLost, HistoryError
[[nodiscard]] Ending coordinate(RunPlan& plan, protocol::Transport& transport,
                                const std::filesystem::path& history_file, const RunLock& lock,
                                Watcher& watcher,
                                const std::function<std::optional<std::string>()>& stop_reason,
                                std::optional<std::chrono::steady_clock::time_point> stop_by = {},
                                std::span<const protocol::Setup> setups = {});

}  // namespace longrope::coordinator
