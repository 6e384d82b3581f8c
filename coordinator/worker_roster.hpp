// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "coordinator/admission.hpp"
#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// No worker is left that could compute; the message holds the evaluator's own words.
class NoWorkers : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Every worker computes in another numerics class than the history.
class NumericsMismatch : public HistoryError {
public:
    using HistoryError::HistoryError;
};

/// The workers of a search, as the history's table of them shows: who starts, computes, or is gone
/// for good, and why.
class WorkerRoster {
public:
    /// Takes the place of the rows that an earlier start left in `header`, which must outlive it.
    WorkerRoster(RunHistory& header, std::span<const protocol::WorkerId> workers);

    /// Whether it was lost or refused: whatever it still says counts for nothing.
    [[nodiscard]] bool is_gone(protocol::WorkerId worker) const;
    /// Those that are not gone.
    [[nodiscard]] std::vector<protocol::WorkerId> present() const;

    /// In which it computes; empty before it has said so.
    [[nodiscard]] const std::string& numerics_class(protocol::WorkerId worker) const;

    void on_start(protocol::WorkerId worker);  ///< its evaluator is started, once more perhaps
    void on_task(protocol::WorkerId worker);
    void on_result(protocol::WorkerId worker, double seconds);
    void on_fault(protocol::WorkerId worker);
    /// What it says of itself; its host is one of the run's if it is admitted.
    /// @returns lines for the log: what is new in it
    [[nodiscard]] std::vector<std::string> introduce(const Judgement& judgement);
    void lose(protocol::WorkerId worker, const std::string& reason);
    void refuse(protocol::WorkerId worker, const Refusal& refusal);

    /// @throws NoWorkers, NumericsMismatch if all are gone
    void require_workers() const;

private:
    [[nodiscard]] WorkerRow& row(protocol::WorkerId worker);
    [[nodiscard]] const WorkerRow& row(protocol::WorkerId worker) const;
    void note_host(const std::string& host);
    void set_gone(protocol::WorkerId worker, const char* state, const std::string& reason);

    RunHistory& header_;
    std::map<protocol::WorkerId, std::size_t> rows_;  ///< index in the header's table
    std::set<std::string> notes_;                     ///< of workers, that have been told
    std::string last_loss_;                           ///< why the last one that went is gone
    std::string numerics_refusal_;  ///< why the last one of another class was refused
    bool admitted_ = false;         ///< some worker could compute
};

}  // namespace longrope::coordinator
