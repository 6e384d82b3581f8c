// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <vector>

#include "coordinator/dispatcher.hpp"
#include "genome/random_stream.hpp"

using namespace longrope;
using namespace longrope::coordinator;

namespace {

/// A cluster that fails in every way it can, in an order drawn from a seed: workers crash on their
/// tasks, vanish, join, and say things twice or too late.
class UnreliableCluster {
public:
    explicit UnreliableCluster(std::uint64_t seed) : random_{seed, "unreliable cluster", 0} {
        const std::uint32_t jobs = 1 + random_.uniform_integer(8);
        fault_rate_ = 0.5 * random_.uniform_real();
        for (std::uint32_t id = 0; id < jobs; ++id) submit(id);
        const std::uint32_t workers = 1 + random_.uniform_integer(5);
        for (std::uint32_t i = 0; i < workers; ++i) join();
    }

    void run() {
        for (int turns = 0; !dispatcher_.idle(); ++turns) {
            REQUIRE(turns < 100'000);
            for (const Assignment& assignment : dispatcher_.assign()) take(assignment);
            something_happens();
        }
    }

    void check_outcome() const {
        for (const auto& [id, columns] : wanted_) {
            INFO("job ", id);
            if (failed_.contains(id)) continue;
            CHECK(scored_.at(id).size() == columns.size());
        }
    }

private:
    void submit(JobId id) {
        Job job;
        job.positions = std::uint64_t{1024} << random_.uniform_integer(2);
        const std::uint32_t documents = 1 + random_.uniform_integer(6);
        for (std::uint32_t column = 0; column < documents; ++column) {
            job.documents.push_back(column);
            if (column == 0 || random_.uniform_integer(4) > 0) job.columns.push_back(column);
        }
        wanted_[id].insert(job.columns.begin(), job.columns.end());
        scored_[id];
        dispatcher_.submit(id, std::move(job));
    }

    void join() {
        queues_[next_worker_];
        dispatcher_.add_worker(next_worker_++);
    }

    void take(const Assignment& assignment) {
        auto& queue = queues_.at(assignment.worker);  // never a worker that is gone
        queue.push_back(assignment.task);
        CHECK(queue.size() <= 2);
        const auto origin = dispatcher_.origin(assignment.task.id, assignment.task.attempt);
        REQUIRE(origin.has_value());
        CHECK(assignment.job == origin->first);
        CHECK_FALSE(failed_.contains(origin->first));
        CHECK_FALSE(scored_[origin->first].contains(origin->second));
        CHECK(wanted_[origin->first].contains(origin->second));
    }

    void something_happens() {
        const std::uint32_t dice = random_.uniform_integer(100);
        if (queues_.empty() || dice < 2) {
            join();
        } else if (dice < 4) {
            lose(any_worker()->first);
        } else if (dice < 10 && !old_.empty()) {
            say_again();
        } else {
            work();
        }
        std::size_t outstanding = 0;
        for (const auto& [worker, queue] : queues_) outstanding += queue.size();
        CHECK(dispatcher_.running() == outstanding);
        CHECK(dispatcher_.workers() == queues_.size());
    }

    std::map<protocol::WorkerId, std::deque<protocol::Task>>::iterator any_worker() {
        return std::next(queues_.begin(),
                         random_.uniform_integer(static_cast<std::uint32_t>(queues_.size())));
    }

    void lose(protocol::WorkerId worker) {
        for (const auto& task : queues_.at(worker)) old_.emplace_back(worker, task);
        dispatcher_.remove_worker(worker);
        queues_.erase(worker);
        failing_.erase(worker);
        for (auto& [task, faults] : faults_) faults.erase(worker);
    }

    void say_again() {
        const auto& [worker, task] =
            old_[random_.uniform_integer(static_cast<std::uint32_t>(old_.size()))];
        CHECK_FALSE(dispatcher_.on_result(worker, {task.id, task.attempt, 1.0, 1, 1.0}));
        CHECK_FALSE(dispatcher_.on_fault(worker, {task.id, task.attempt, false, false, "late"}));
    }

    void work() {
        const auto worker = any_worker();
        if (worker->second.empty()) return;
        const protocol::Task task = worker->second.front();
        worker->second.pop_front();
        old_.emplace_back(worker->first, task);
        const auto origin = dispatcher_.origin(task.id, task.attempt);
        if (random_.uniform_real() < fault_rate_) {
            fault(worker->first, task);
            return;
        }
        const double seconds = 2.0 * random_.uniform_real();
        const auto score =
            dispatcher_.on_result(worker->first, {task.id, task.attempt, 1.0, 1, seconds});
        CHECK(score.has_value() == origin.has_value());  // without: its job has failed
        if (!score) return;
        failing_[worker->first].clear();
        CHECK(std::pair{score->job, score->column} == *origin);
        CHECK(scored_[score->job].insert(score->column).second);  // once and never again
    }

    void fault(protocol::WorkerId worker, const protocol::Task& task) {
        const auto verdict =
            dispatcher_.on_fault(worker, {task.id, task.attempt, false, false, "crash"});
        if (!verdict) return;
        auto& faults = faults_[{verdict->job, verdict->column}];
        ++faults[worker];
        failing_[worker].insert(verdict->job);
        int count = 0;
        bool counts = false;
        for (const auto& [who, times] : faults) {
            count += times;
            counts = counts || failing_[who].size() <= 1 || times >= 3;
        }
        const bool heard = faults.size() >= 2 || queues_.size() < 2;
        CHECK(verdict->final == (count >= 3 && heard && counts));
        CHECK(verdict->worker_is_sick == (failing_[worker].size() >= Dispatcher::sick_after));
        if (verdict->final) CHECK(failed_.insert(verdict->job).second);
        if (verdict->worker_is_sick) lose(worker);
    }

    genome::RandomStream random_;
    double fault_rate_ = 0.0;
    Dispatcher dispatcher_{{}};
    protocol::WorkerId next_worker_ = 0;
    std::map<protocol::WorkerId, std::deque<protocol::Task>> queues_;
    std::vector<std::pair<protocol::WorkerId, protocol::Task>> old_;
    std::map<JobId, std::set<std::uint32_t>> wanted_;
    std::map<JobId, std::set<std::uint32_t>> scored_;
    std::map<std::pair<JobId, std::uint32_t>, std::map<protocol::WorkerId, int>> faults_;
    std::map<protocol::WorkerId, std::set<JobId>> failing_;  // since the last result
    std::set<JobId> failed_;
};

}  // namespace

TEST_CASE("whatever fails, every document of every job is scored once, or its job fails once") {
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        INFO("seed = ", seed);
        UnreliableCluster cluster{seed};
        cluster.run();
        cluster.check_outcome();
    }
}
