// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dispatcher.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace longrope::coordinator {
namespace {

// A deadline is this many times the longest duration seen: machines are shared, tasks are alike.
// Of long tasks it is less, and ten minutes: all others may be waiting for the one that hangs.
constexpr double deadline_factor = 10.0;
constexpr double deadline_factor_of_long = 3.0;
constexpr double deadline_seconds_of_long = 600.0;
// Where tasks are shorter, the way to a worker and back would be felt: one waits there already.
// Where they are longer, a queued task would only wait for a busy worker while another is free.
constexpr double queue_ahead_below_seconds = 1.0;

}  // namespace

Dispatcher::Dispatcher(Settings settings) : settings_{settings} {}

void Dispatcher::expect_worker(protocol::WorkerId worker) {
    if (!workers_.contains(worker)) starting_.insert(worker);
}

void Dispatcher::add_worker(protocol::WorkerId worker) {
    starting_.erase(worker);
    workers_.try_emplace(worker);
}

void Dispatcher::remove_worker(protocol::WorkerId worker) {
    starting_.erase(worker);
    if (workers_.erase(worker) == 0) return;
    running_ -=
        std::erase_if(abandoned_, [worker](const auto& entry) { return entry.second == worker; });
    // Back to the front, in their old order.
    for (auto task = tasks_.rbegin(); task != tasks_.rend(); ++task) {
        if (task->second.faults.erase(worker) > 0) task->second.hung = false;
        if (task->second.worker != worker) continue;
        task->second.worker.reset();
        --running_;
        waiting_.push_front(task->first);
    }
}

void Dispatcher::submit(JobId id, Job job) {
    JobState& state = jobs_[id];
    if (state.open_tasks != 0) throw std::logic_error{"a job was submitted twice"};
    state.open_tasks = static_cast<std::uint32_t>(job.columns.size());
    for (const std::uint32_t column : job.columns) {
        TaskState task;
        task.job = id;
        task.column = column;
        tasks_.emplace(next_task_, task);
        waiting_.push_back(next_task_++);
    }
    if (job.columns.empty()) {
        jobs_.erase(id);
    } else {
        state.job = std::move(job);
    }
}

void Dispatcher::expect_duration(std::uint64_t positions, Seconds mean) {
    Durations& durations = durations_[positions];
    durations.longest = std::max(durations.longest, mean.count());
}

bool Dispatcher::may_take(protocol::WorkerId worker, const TaskState& task) const {
    if (!has_second_worker()) return true;
    if (task.doubted_on == worker) return false;  // it would find the same
    // The verdict on a task that faults again and again needs a second worker's word.
    if (task.faults.size() != 1) return true;
    const auto& [only, faults] = *task.faults.begin();
    return only != worker || faults + 1 < settings_.max_faults;
}

std::deque<std::uint64_t>::iterator Dispatcher::next_for(protocol::WorkerId worker,
                                                         const WorkerState& state,
                                                         std::optional<Seconds> time_left) {
    const auto takes = [&](std::uint64_t task) {
        return may_take(worker, tasks_.at(task)) && has_time(tasks_.at(task), time_left);
    };
    const auto next = std::ranges::find_if(waiting_, [&](std::uint64_t task) {
        return takes(task) && !state.failing.contains(tasks_.at(task).job);
    });
    return next != waiting_.end() ? next : std::ranges::find_if(waiting_, takes);
}

bool Dispatcher::has_time(const TaskState& task, std::optional<Seconds> time_left) const {
    const auto duration = expected(jobs_.at(task.job).job.positions_of(task.column));
    return !time_left || !duration || *duration <= *time_left;
}

bool Dispatcher::may_queue(const TaskState& task, std::optional<Seconds> time_left) const {
    const auto duration = expected(jobs_.at(task.job).job.positions_of(task.column));
    if (!duration || duration->count() > queue_ahead_below_seconds) return false;
    return !time_left || 2 * *duration <= *time_left;
}

bool Dispatcher::is_final(const TaskState& task) const {
    if (task.faults.size() < 2 && has_second_worker()) return false;
    std::uint32_t faults = 0;
    bool counts = false;  // the word of a worker that fails with nothing else, or tried again
    for (const auto& [worker, on_it] : task.faults) {
        faults += on_it;
        counts = counts || workers_.at(worker).failing.size() <= 1 || on_it >= settings_.max_faults;
    }
    return counts && faults >= settings_.max_faults;
}

double Dispatcher::deadline(std::uint64_t positions) const {
    const double floor = settings_.deadline_floor.count();
    const auto known = durations_.find(positions);
    if (known == durations_.end()) return floor;
    const Durations& seen = known->second;
    double allowed = std::min(deadline_factor * seen.longest,
                              deadline_factor_of_long * seen.longest + deadline_seconds_of_long);
    // While all tasks have passed their deadline it is not known that they hang.
    if (seen.count == 0) allowed = std::max(allowed, deadline_factor * seen.not_within);
    return std::max(floor, allowed);
}

bool Dispatcher::can_assign() const {
    return std::ranges::any_of(workers_, [this](const auto& worker) {
        return std::ranges::any_of(waiting_, [this, &worker](std::uint64_t task) {
            return may_take(worker.first, tasks_.at(task));
        });
    });
}

protocol::Task Dispatcher::message(std::uint64_t id, TaskState& task) const {
    const Job& job = jobs_.at(task.job).job;
    protocol::Task sent;
    sent.id = id;
    sent.attempt = task.attempt;
    sent.factors = job.factors;
    sent.start_tokens = job.start_tokens;
    sent.attention_scale = job.attention_scale;
    sent.positions = job.positions_of(task.column);
    sent.document = job.documents.at(task.column);
    sent.per_token = job.per_token;
    sent.offset = job.offset;
    sent.scored = job.scored;
    task.deadline = deadline(sent.positions);
    // Where others of its length were in time it may be slow, if that was not the floor already.
    const bool measured = expected(sent.positions).has_value();
    if (task.hung && measured && task.deadline > settings_.deadline_floor.count()) {
        task.deadline *= 2;
    }
    sent.deadline_seconds = task.deadline;
    return sent;
}

std::optional<Dispatcher::Seconds> Dispatcher::expected(std::uint64_t positions) const {
    const auto known = durations_.find(positions);
    if (known == durations_.end() || known->second.count == 0) return std::nullopt;
    return Seconds{known->second.sum / static_cast<double>(known->second.count)};
}

std::vector<Assignment> Dispatcher::assign(std::optional<Seconds> time_left) {
    std::vector<Assignment> assignments;
    for (const std::uint32_t already : {0U, 1U}) {
        for (auto& [worker, state] : workers_) {
            if (state.load != already) continue;
            const auto next = next_for(worker, state, time_left);
            if (next == waiting_.end()) continue;
            TaskState& task = tasks_.at(*next);
            if (already > 0 && !may_queue(task, time_left)) continue;
            ++task.attempt;
            task.worker = worker;
            ++state.load;
            ++running_;
            assignments.push_back({worker, task.job, message(*next, task)});
            waiting_.erase(next);
        }
    }
    return assignments;
}

Dispatcher::Tasks::iterator Dispatcher::current(protocol::WorkerId worker, std::uint64_t id,
                                                std::uint32_t attempt) {
    const auto task = tasks_.find(id);
    if (task == tasks_.end() || task->second.attempt != attempt || task->second.worker != worker) {
        return tasks_.end();
    }
    return task;
}

void Dispatcher::release(TaskState& task) {
    if (!task.worker) return;
    if (const auto worker = workers_.find(*task.worker); worker != workers_.end()) {
        --worker->second.load;
    }
    task.worker.reset();
    --running_;
}

void Dispatcher::close(Tasks::iterator task) {
    const JobId job = task->second.job;
    tasks_.erase(task);
    if (const auto state = jobs_.find(job); --state->second.open_tasks == 0) jobs_.erase(state);
}

void Dispatcher::drop_job(JobId id) {
    for (auto task = tasks_.begin(); task != tasks_.end();) {
        const auto next = std::next(task);
        if (task->second.job == id) {
            std::erase(waiting_, task->first);
            // A worker that has it finishes it for nothing; until then it is not free.
            if (task->second.worker) {
                abandoned_[{task->first, task->second.attempt}] = *task->second.worker;
            }
            tasks_.erase(task);
        }
        task = next;
    }
    jobs_.erase(id);
}

bool Dispatcher::doubt(protocol::WorkerId worker, const protocol::Result& result) {
    if (std::isfinite(result.sum_nll) || !has_second_worker()) return false;
    const auto task = current(worker, result.id, result.attempt);
    if (task == tasks_.end()) return false;
    const bool alone = std::ranges::all_of(
        task->second.faults, [worker](const auto& fault) { return fault.first == worker; });
    if (alone) task->second.doubted_on = worker;
    return alone;
}

std::optional<DocumentScore> Dispatcher::on_result(protocol::WorkerId worker,
                                                   const protocol::Result& result) {
    forget_abandoned(worker, result.id, result.attempt);
    const auto task = current(worker, result.id, result.attempt);
    if (task == tasks_.end()) return std::nullopt;
    Durations& durations =
        durations_[jobs_.at(task->second.job).job.positions_of(task->second.column)];
    durations.longest = std::max(durations.longest, result.seconds);
    durations.sum += result.seconds;
    ++durations.count;
    DocumentScore score;
    score.job = task->second.job;
    score.column = task->second.column;
    score.sum_nll = result.sum_nll;
    score.scored_tokens = result.scored_tokens;
    score.attempts = task->second.attempt;
    score.worker = worker;
    score.seconds = result.seconds;
    if (const auto known = workers_.find(worker); known != workers_.end()) {
        known->second.failing.clear();
    }
    release(task->second);
    close(task);
    return score;
}

std::optional<FaultVerdict> Dispatcher::on_fault(protocol::WorkerId worker,
                                                 const protocol::Fault& fault) {
    forget_abandoned(worker, fault.id, fault.attempt);
    const auto found = current(worker, fault.id, fault.attempt);
    if (found == tasks_.end()) return std::nullopt;
    TaskState& task = found->second;
    release(task);
    ++task.faults[worker];
    task.hung = fault.hung;
    if (fault.hung) {
        Durations& durations = durations_[jobs_.at(task.job).job.positions_of(task.column)];
        durations.not_within = std::max(durations.not_within, task.deadline);
    }
    std::set<JobId>& failing = workers_.at(worker).failing;
    failing.insert(task.job);
    FaultVerdict verdict{task.job, task.column, task.attempt, fault.reason, false, false};
    verdict.worker_is_sick = failing.size() >= sick_after;
    verdict.final = is_final(task);
    if (verdict.final) {
        drop_job(task.job);
    } else {
        waiting_.push_front(found->first);
    }
    return verdict;
}

void Dispatcher::forget_abandoned(protocol::WorkerId worker, std::uint64_t task,
                                  std::uint32_t attempt) {
    const auto found = abandoned_.find({task, attempt});
    if (found == abandoned_.end() || found->second != worker) return;
    abandoned_.erase(found);
    --running_;
    if (const auto load = workers_.find(worker); load != workers_.end()) --load->second.load;
}

std::optional<std::pair<JobId, std::uint32_t>> Dispatcher::origin(std::uint64_t task,
                                                                  std::uint32_t attempt) const {
    const auto found = tasks_.find(task);
    if (found == tasks_.end() || found->second.attempt != attempt) return std::nullopt;
    return std::pair{found->second.job, found->second.column};
}

}  // namespace longrope::coordinator
