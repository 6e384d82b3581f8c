// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "coordinator/history.hpp"

namespace longrope::cli {

/// Who has a run directory, as far as this host can see; empty: nobody.
[[nodiscard]] std::string holder_of(const std::filesystem::path& run_directory);

/// A search at one moment.
struct SeenRun {
    coordinator::RunHistory history;
    std::string holder;  ///< as holder_of
    /// Where the coordinator has vanished: the last entry of its log, which tells of a disk that
    /// was too full to store why. Empty: there is none, or it cannot be read.
    std::string last_logged;
};

/// @throws coordinator::HistoryError if there is no history, or it cannot be read
[[nodiscard]] SeenRun look_at_run(const std::filesystem::path& history_file);

/// Where the search tells what it does.
[[nodiscard]] std::filesystem::path log_beside(const std::filesystem::path& history_file);

/// The state in a word or two: that of the history, unless its coordinator has vanished, or another
/// has come that has stored nothing yet.
[[nodiscard]] std::string state_name(const SeenRun& run);

/// What the state is due to, in a sentence.
[[nodiscard]] std::string state_reason(const SeenRun& run);

/// Whether another job is worth it: after an early stop or a kill, if the last start stored
/// anything new. Twice in a row it may not have, for bad luck; a job that gets nowhere must not be
/// requeued for ever.
[[nodiscard]] bool should_requeue(const SeenRun& run);

}  // namespace longrope::cli
