// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/history.hpp"
#include "coordinator/stage_run.hpp"

namespace longrope::coordinator {

/// The history was made with other identity settings, another model or other documents; the message
/// has a line for each difference.
class IdentityMismatch : public HistoryError {
public:
    using HistoryError::HistoryError;
};

/// The search of one run directory, ready to go on: the earlier history is compared and replayed;
/// nothing is computed yet.
class RunPlan {
public:
    /// @param earlier  what the run directory holds, or nothing
    /// @throws ConfigurationError, IdentityMismatch, ReplayMismatch, NoParents
    RunPlan(Configuration configuration, const RunFacts& facts, std::optional<RunHistory> earlier);

    /// Whether all that is asked for is there already.
    [[nodiscard]] bool complete() const;
    [[nodiscard]] const Configuration& configuration() const noexcept { return configuration_; }
    [[nodiscard]] std::vector<StageRun>& stages() noexcept { return stages_; }
    [[nodiscard]] const std::vector<StageRun>& stages() const noexcept { return stages_; }
    /// The history without its stages, which the stage runs hold.
    [[nodiscard]] RunHistory& header() noexcept { return header_; }
    [[nodiscard]] bool resumed() const noexcept { return resumed_; }
    /// Document scores taken from the earlier history.
    [[nodiscard]] std::uint64_t restored() const;
    /// The whole history as it stands now, for storing.
    [[nodiscard]] RunHistory snapshot() const;
    /// Jobs that the replay found to be open; taken once.
    [[nodiscard]] std::vector<NumberedJob> take_open_jobs(std::size_t stage);

private:
    Configuration configuration_;
    RunHistory header_;
    std::vector<StageRun> stages_;
    std::vector<std::vector<NumberedJob>> open_jobs_;
    bool resumed_ = false;
};

}  // namespace longrope::coordinator
