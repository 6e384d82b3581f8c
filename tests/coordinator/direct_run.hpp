// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "coordinator/run_plan.hpp"
#include "genome/random_stream.hpp"
#include "tests/coordinator/small_run.hpp"

namespace longrope::coordinator {

/// What becomes of a document of a job: a sum, or nothing where it faults for good.
using Scorer = std::function<std::optional<double>(const Job&, std::uint32_t column)>;

inline std::optional<double> closed_form(const Job& job, std::uint32_t column) {
    return closed_form_sum(job.factors, job.start_tokens, job.documents.at(column),
                           job.positions_of(column));
}

/// Runs a plan without workers, clock or event loop: open documents are scored one at a time, in
/// the order of submission or one drawn from a seed.
class DirectRun {
public:
    explicit DirectRun(RunPlan& plan, Scorer scorer = closed_form,
                       std::optional<std::uint64_t> shuffle_seed = std::nullopt)
        : plan_{plan}, scorer_{std::move(scorer)} {
        if (shuffle_seed) random_.emplace(*shuffle_seed, "direct run", 0);
        enter_stage();
    }

    /// Scores one document. @returns false if nothing is left to do
    bool step() {
        while (open_.empty() && stage_ < plan_.stages().size() && stage().finished()) {
            plan_.begin_stages();
            if (++stage_ == plan_.stages().size()) return false;
            enter_stage();
        }
        if (stage_ == plan_.stages().size() || open_.empty()) return false;
        const std::size_t at =
            random_ ? random_->uniform_integer(static_cast<std::uint32_t>(open_.size())) : 0;
        const Open next = open_[at];
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(at));
        ++clock_;
        stage().on_started(next.id, clock_);
        if (const auto sum = scorer_(next.job, next.column)) {
            stage().on_score(
                {next.id, next.column, *sum, next.job.positions_of(next.column) - 1, 1, 0, 0.1},
                clock_);
        } else {
            stage().on_fault({next.id, next.column, 3, "crashed", true}, 0, clock_);
            std::erase_if(open_, [&next](const Open& open) { return open.id == next.id; });
        }
        ++scored_;
        take(stage().ready());
        return true;
    }

    void run(std::uint64_t steps = std::numeric_limits<std::uint64_t>::max()) {
        while (steps-- > 0 && step()) {
        }
    }
    /// Documents that were asked for here, in whatever way they ended.
    [[nodiscard]] std::uint64_t scored() const noexcept { return scored_; }
    [[nodiscard]] std::size_t open() const noexcept { return open_.size(); }

private:
    struct Open {
        JobId id = 0;
        std::uint32_t column = 0;
        Job job;
    };

    StageRun& stage() { return plan_.stages()[stage_]; }
    void enter_stage() {
        if (stage_ < plan_.stages().size()) take(plan_.take_open_jobs(stage_));
    }
    void take(const std::vector<NumberedJob>& jobs) {
        for (const NumberedJob& numbered : jobs) {
            for (const std::uint32_t column : numbered.job.columns) {
                open_.push_back({numbered.id, column, numbered.job});
            }
        }
    }

    RunPlan& plan_;
    Scorer scorer_;
    std::optional<genome::RandomStream> random_;
    std::size_t stage_ = 0;
    std::vector<Open> open_;
    std::int64_t clock_ = 0;
    std::uint64_t scored_ = 0;
};

/// The finished plan of a run from its beginning, or from an earlier history.
inline RunPlan finished_run(const Configuration& configuration,
                            std::optional<RunHistory> earlier = std::nullopt,
                            const Scorer& scorer = closed_form,
                            std::optional<std::uint64_t> shuffle_seed = std::nullopt) {
    RunPlan plan{configuration, small_facts(), std::move(earlier)};
    DirectRun{plan, scorer, shuffle_seed}.run();
    return plan;
}

}  // namespace longrope::coordinator
