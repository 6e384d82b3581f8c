// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/dispatcher.hpp"
#include "coordinator/history.hpp"
#include "coordinator/search.hpp"
#include "coordinator/stage_plan.hpp"

namespace longrope::coordinator {

/// What the search breeds is not what the history holds: the history belongs to another
/// configuration, program or machine. The message names the first row and both values.
class ReplayMismatch : public HistoryError {
public:
    using HistoryError::HistoryError;
};

/// The result of a finished stage, for the stages that build on it.
[[nodiscard]] BaseRecord base_record(const StageHistory& stage);

/// A job and its number.
struct NumberedJob {
    JobId id = 0;
    Job job;
};

/// One stage from its baselines to its held-out scores: turns bred individuals into jobs and scores
/// into rows of the history. Resume is replay: it breeds from the start and takes from the earlier
/// history what that holds. No clock, file or communication.
class StageRun {
public:
    /// @param earlier  what an earlier start stored of this stage, or null
    /// @throws ReplayMismatch if `earlier` does not fit the plan
    StageRun(StagePlan plan, const StageHistory* earlier);

    /// Jobs that have become possible; call it again after each score.
    /// @throws ReplayMismatch, NoParents
    [[nodiscard]] std::vector<NumberedJob> ready();
    void on_started(JobId job, std::int64_t now);
    /// @param other_numerics  its worker computes in another numerics class than the history's
    void on_score(const DocumentScore& score, std::int64_t now, bool other_numerics = false);
    void on_fault(const FaultVerdict& verdict, protocol::WorkerId worker, std::int64_t now);

    /// For people: which row a job stands for, and which document a column.
    [[nodiscard]] std::string task_name(JobId job, std::uint32_t column) const;

    /// Everything is scored, the best is chosen and the held-out documents are read.
    [[nodiscard]] bool finished() const noexcept { return history_.complete; }
    [[nodiscard]] const StageHistory& history() const noexcept { return history_; }
    /// Once a stop rule has ended the evolution, with the iterations that were done.
    [[nodiscard]] const StagePlan& plan() const noexcept { return plan_; }
    /// Document scores that the history holds now, restored ones included.
    [[nodiscard]] std::uint64_t scored() const noexcept { return scored_; }
    /// About the mean time of a task of this length in earlier starts; where a stage has several
    /// lengths, whose times are stored as one sum, what it would be if all tasks took in proportion
    /// to their length as long as those of the longest. Nothing where none is known.
    [[nodiscard]] std::optional<double> expected_task_seconds(std::uint64_t positions) const;
    /// Document scores that the earlier history holds.
    [[nodiscard]] std::uint64_t restored() const noexcept { return restored_; }

private:
    enum class Phase : std::uint8_t { baselines, evaluations, validation, sweep, heldout };

    [[nodiscard]] static const char* name_of(Phase phase);  ///< of the group in the history
    void check_base(const BaseRecord& stored) const;
    void breed(std::vector<NumberedJob>& jobs);
    void apply_stop_rules();
    [[nodiscard]] std::string due_stop_rule(std::uint32_t next_generation) const;
    void end_evolution(std::string ended_by, std::uint32_t iterations);
    void add_individual(const Individual& individual, std::vector<NumberedJob>& jobs);
    void check_replay(const Individual& individual, const std::vector<double>& factors,
                      const ScoreTable<EvaluationRow>& earlier) const;
    void check_function(const ScoreTable<ScoreRow>& stored, std::size_t at,
                        const std::vector<double>& factors, const ScoreRow& row) const;
    void add_score_row(Phase phase, ScoreRow row, const std::vector<double>& factors,
                       std::vector<NumberedJob>& jobs);
    [[nodiscard]] bool share_scores(ScoreTable<ScoreRow>& table, std::size_t row);
    void settle_twins(ScoreTable<ScoreRow>& table, std::size_t row);
    void copy_scores(ScoreTable<ScoreRow>& to, std::size_t row, const ScoreTable<ScoreRow>& from,
                     std::size_t from_row);
    void enqueue(Phase phase, std::size_t row, std::vector<NumberedJob>& jobs);
    void advance(std::vector<NumberedJob>& jobs);
    void start_validation(std::vector<NumberedJob>& jobs);
    void start_sweep(std::vector<NumberedJob>& jobs);
    void start_heldout(std::vector<NumberedJob>& jobs);
    [[nodiscard]] bool settled(Phase phase) const;
    [[nodiscard]] static ScoreRow row_of_baseline(const NamedVector& baseline);
    [[nodiscard]] ScoreRow row_of_individual(std::uint32_t number) const;
    void choose_best(std::string chosen_by, std::uint32_t individual);
    void commit(std::uint32_t individual);
    void close_generations();
    [[nodiscard]] ScoreTable<ScoreRow>& table(Phase phase);
    [[nodiscard]] const ScoreTable<ScoreRow>& table(Phase phase) const;

    StagePlan plan_;
    Search search_;
    std::optional<StageHistory> earlier_;
    StageHistory history_;
    std::optional<Phase> final_phase_;  ///< the last one begun after the evolution
    bool begun_ = false;
    std::uint64_t scored_ = 0;
    std::uint64_t restored_ = 0;
    std::uint64_t computed_ = 0;  ///< scores that task_seconds were spent on, all starts together
};

}  // namespace longrope::coordinator
