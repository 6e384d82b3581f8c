// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "worker/protocol/messages.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// A factor vector to be scored on documents.
struct Job {
    std::vector<double> factors;  ///< lambda, shape [rotary_dim / 2]
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
    std::uint64_t positions = 0;  ///< L', BOS included
    /// L' of each column, where columns differ in it; empty: `positions` for all.
    std::vector<std::uint64_t> column_positions{};
    std::vector<std::uint32_t> documents;  ///< index in the file, per column
    std::vector<std::uint32_t> columns;    ///< which of `documents` are wanted
    bool per_token = false;
    std::uint64_t offset = 0;  ///< tokens of each document left out before those fed
    std::uint64_t scored = 0;  ///< how many of the last positions count; 0: all but the first

    [[nodiscard]] std::uint64_t positions_of(std::uint32_t column) const {
        return column_positions.empty() ? positions : column_positions.at(column);
    }
};

/// A job's number, chosen by whoever submits it.
using JobId = std::uint64_t;

/// A task and who gets it.
struct Assignment {
    protocol::WorkerId worker = 0;
    JobId job = 0;  ///< whose the task is
    protocol::Task task;
};

/// One document of a job is scored.
struct DocumentScore {
    JobId job = 0;
    std::uint32_t column = 0;
    double sum_nll = 0.0;  ///< nats; may be NaN or infinite
    std::uint64_t scored_tokens = 0;
    std::uint32_t attempts = 0;  ///< tasks started for it
    protocol::WorkerId worker = 0;
    double seconds = 0.0;
};

/// What became of a fault.
struct FaultVerdict {
    JobId job = 0;
    std::uint32_t column = 0;
    std::uint32_t attempt = 0;
    std::string reason;
    bool final = false;  ///< the job has failed; its other tasks are dropped
    /// Jobs that have failed on this worker in a row are so many that it must be the worker, where
    /// jobs are alike.
    bool worker_is_sick = false;
};

/// Cuts jobs into one task per document and gives each to a free worker, in order of submission as
/// long as there is time for all.
/// Owns deadlines and retries; knows neither MPI nor the clock.
///
/// Who is to blame for a fault, the job or the worker? A worker that faulted takes other jobs
/// before it tries the same one again. If it succeeds with them, its word on the job counts; if it
/// fails with them too, it does not, and after `sick_after` jobs in a row the worker is called
/// sick. Once it is removed its word is forgotten.
class Dispatcher {
public:
    using Seconds = std::chrono::duration<double>;

    struct Settings {
        std::uint32_t max_faults = 3;  ///< on one task, on two workers where there are two
        Seconds deadline_floor{600.0};
    };
    /// Jobs that must fail on a worker, without a result between, to make it a sick one.
    static constexpr std::size_t sick_after = 5;

    explicit Dispatcher(Settings settings);

    /// A worker that is still starting: it gets no task, but its word on a faulty one is waited
    /// for.
    void expect_worker(protocol::WorkerId worker);
    /// It can take tasks from now on.
    void add_worker(protocol::WorkerId worker);
    /// Its tasks are given to others; that costs them no attempt. Its word on faulty ones is
    /// forgotten.
    void remove_worker(protocol::WorkerId worker);
    void submit(JobId id, Job job);
    /// What tasks of a length took in an earlier start, or no less than that: for their deadline;
    /// `expected` is measured.
    void expect_duration(std::uint64_t positions, Seconds mean);

    /// Tasks to send now: one for each free worker, and one queued ahead where tasks are short.
    /// @param time_left  no task expected to take longer is started
    [[nodiscard]] std::vector<Assignment> assign(std::optional<Seconds> time_left = std::nullopt);
    /// Whether a sum is not finite, there is another worker, and none has failed at the task: that
    /// may be the device's fault, and would be final. Then the result is to be given to on_fault
    /// instead, and the task goes to another worker.
    [[nodiscard]] bool doubt(protocol::WorkerId worker, const protocol::Result& result);
    /// @returns nullopt for a late or doubled result
    [[nodiscard]] std::optional<DocumentScore> on_result(protocol::WorkerId worker,
                                                         const protocol::Result& result);
    /// @returns nullopt for a late or doubled fault
    [[nodiscard]] std::optional<FaultVerdict> on_fault(protocol::WorkerId worker,
                                                       const protocol::Fault& fault);
    /// The job and column of a task under way, for TokenScores.
    [[nodiscard]] std::optional<std::pair<JobId, std::uint32_t>> origin(
        std::uint64_t task, std::uint32_t attempt) const;

    [[nodiscard]] std::size_t running() const noexcept { return running_; }
    /// Whether a worker may take a task that waits, if there is time for it.
    [[nodiscard]] bool can_assign() const;
    [[nodiscard]] bool idle() const noexcept { return tasks_.empty(); }
    [[nodiscard]] std::size_t workers() const noexcept { return workers_.size(); }
    /// Mean duration of a task with as many positions, or nullopt before the first.
    [[nodiscard]] std::optional<Seconds> expected(std::uint64_t positions) const;

private:
    struct TaskState {
        JobId job = 0;
        std::uint32_t column = 0;
        std::uint32_t attempt = 0;  ///< of the last time it was sent
        double deadline = 0.0;      ///< seconds, of the last time it was sent
        bool hung = false;          ///< which it passed: it gets twice as long
        std::map<protocol::WorkerId, std::uint32_t> faults;
        std::optional<protocol::WorkerId> worker;      ///< who has it
        std::optional<protocol::WorkerId> doubted_on;  ///< who found a sum that is not finite
    };
    struct WorkerState {
        std::uint32_t load = 0;   ///< tasks it has
        std::set<JobId> failing;  ///< that faulted on it since its last result
    };
    struct JobState {
        Job job;
        std::uint32_t open_tasks = 0;
    };
    /// In seconds.
    struct Durations {
        double longest = 0.0;  ///< of this start, and the mean of earlier ones
        double sum = 0.0;
        std::uint64_t count = 0;
        double not_within = 0.0;  ///< before the first: the longest deadline that passed
    };

    using Tasks = std::map<std::uint64_t, TaskState>;
    [[nodiscard]] bool has_second_worker() const noexcept {
        return workers_.size() + starting_.size() >= 2;
    }
    [[nodiscard]] bool may_take(protocol::WorkerId worker, const TaskState& task) const;
    /// Whether it would be over in time.
    [[nodiscard]] bool has_time(const TaskState& task, std::optional<Seconds> time_left) const;
    /// Whether it is short enough to be queued behind another, with time for both.
    [[nodiscard]] bool may_queue(const TaskState& task, std::optional<Seconds> time_left) const;
    /// The first task in line that it may take and has time for, those of jobs that it is failing
    /// with last.
    [[nodiscard]] std::deque<std::uint64_t>::iterator next_for(protocol::WorkerId worker,
                                                               const WorkerState& state,
                                                               std::optional<Seconds> time_left);
    [[nodiscard]] bool is_final(const TaskState& task) const;
    [[nodiscard]] double deadline(std::uint64_t positions) const;
    [[nodiscard]] protocol::Task message(std::uint64_t id, TaskState& task) const;
    [[nodiscard]] Tasks::iterator current(protocol::WorkerId worker, std::uint64_t id,
                                          std::uint32_t attempt);
    void release(TaskState& task);
    void close(Tasks::iterator task);
    void drop_job(JobId id);
    void forget_abandoned(protocol::WorkerId worker, std::uint64_t task, std::uint32_t attempt);

    Settings settings_;
    std::map<protocol::WorkerId, WorkerState> workers_;
    std::set<protocol::WorkerId> starting_;
    std::map<JobId, JobState> jobs_;
    Tasks tasks_;  ///< all that are not finished
    std::deque<std::uint64_t> waiting_;
    /// Who has a task that was dropped meanwhile, by task and attempt.
    std::map<std::pair<std::uint64_t, std::uint32_t>, protocol::WorkerId> abandoned_;
    std::map<std::uint64_t, Durations> durations_;  ///< by positions
    std::uint64_t next_task_ = 1;
    std::size_t running_ = 0;
};

}  // namespace longrope::coordinator
