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

/// A stage that cannot go on before somebody makes its model.
struct MissingModel {
    std::size_t stage = 0;  ///< index in the configuration
    std::string name;       ///< of the stage
    std::string folder;     ///< stage.model
};

/// The sentence that says so, for the history and the terminal.
[[nodiscard]] std::string waiting_reason(const MissingModel& missing);

/// The sentence of a history in which nothing is left to do.
inline constexpr const char* all_complete = "every stage is complete";

/// The search of one run directory, ready to go on: the earlier history is compared and replayed;
/// nothing is computed yet. A stage begins when the stages before it have begun, its base is
/// finished and its model is there.
class RunPlan {
public:
    /// @param earlier  what the run directory holds, or nothing
    /// @throws ConfigurationError, IdentityMismatch, ReplayMismatch, NoParents
    RunPlan(Configuration configuration, RunFacts facts, std::optional<RunHistory> earlier);

    /// Whether all that is asked for is there already.
    [[nodiscard]] bool complete() const;
    [[nodiscard]] const Configuration& configuration() const noexcept { return configuration_; }
    [[nodiscard]] const RunFacts& facts() const noexcept { return facts_; }
    /// The stages that have begun: the first ones of the configuration.
    [[nodiscard]] std::vector<StageRun>& stages() noexcept { return stages_; }
    [[nodiscard]] const std::vector<StageRun>& stages() const noexcept { return stages_; }
    /// Begins those that can begin since the last call. Invalidates references to stages.
    /// @throws ReplayMismatch, NoParents
    void begin_stages();
    /// The first stage with work left; as many as the configuration has if there is none.
    [[nodiscard]] std::size_t next_stage() const;
    /// Why the next stage cannot be run; nothing if it can.
    [[nodiscard]] std::optional<MissingModel> missing_model() const;
    /// What a stage will do, begun or not; good for estimates where its base is not finished.
    [[nodiscard]] StagePlan planned(std::size_t stage) const;
    /// What is known of a stage, begun or not.
    [[nodiscard]] StageHistory history_of(std::size_t stage) const;
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
    [[nodiscard]] const StageHistory* stored(const std::string& name) const;
    [[nodiscard]] std::optional<BaseRecord> result_of(const std::string& stage) const;
    void refuse_useless_documents() const;
    void refuse_moved_bases() const;

    Configuration configuration_;
    RunFacts facts_;
    RunHistory header_;
    std::vector<StageHistory> stored_stages_;  ///< of the earlier history
    std::vector<StageRun> stages_;
    std::vector<std::vector<NumberedJob>> open_jobs_;
    bool resumed_ = false;
};

}  // namespace longrope::coordinator
