// SPDX-License-Identifier: Apache-2.0
#include "coordinator/dispatcher.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

using namespace longrope;
using namespace longrope::coordinator;

namespace {

Job job_on(std::uint32_t documents, std::uint64_t positions = 2048) {
    Job job;
    job.factors = {1.0, 2.0};
    job.positions = positions;
    for (std::uint32_t i = 0; i < documents; ++i) job.documents.push_back(100 + i);
    job.columns.resize(documents);
    std::iota(job.columns.begin(), job.columns.end(), 0U);
    return job;
}

protocol::Result result_of(const Assignment& assignment, double seconds = 1.0) {
    return {assignment.task.id, assignment.task.attempt, 1.5, 2047, seconds};
}

protocol::Fault fault_of(const Assignment& assignment) {
    protocol::Fault fault;
    fault.id = assignment.task.id;
    fault.attempt = assignment.task.attempt;
    fault.reason = "crashed";
    return fault;
}

std::vector<std::uint32_t> documents_of(const std::vector<Assignment>& assignments) {
    std::vector<std::uint32_t> documents;
    for (const Assignment& assignment : assignments) documents.push_back(assignment.task.document);
    return documents;
}

/// The only assignment there is now.
Assignment only(Dispatcher& dispatcher) {
    auto assignments = dispatcher.assign();
    REQUIRE(assignments.size() == 1);
    return assignments.front();
}

/// Long tasks, so that none is queued ahead.
void teach_duration(Dispatcher& dispatcher, double seconds) {
    dispatcher.submit(999, job_on(1));
    REQUIRE(dispatcher.on_result(0, result_of(only(dispatcher), seconds)).has_value());
    REQUIRE(dispatcher.idle());
}

}  // namespace

TEST_CASE("tasks go out in the order of submission, one for each free worker") {
    Dispatcher dispatcher{{}};
    dispatcher.submit(7, job_on(3));
    dispatcher.submit(3, job_on(2));
    CHECK(dispatcher.assign().empty());  // nobody there yet
    dispatcher.add_worker(0);
    dispatcher.add_worker(1);
    const auto first = dispatcher.assign();
    CHECK(documents_of(first) == std::vector<std::uint32_t>{100, 101});
    CHECK(first[0].worker == 0);
    CHECK(first[1].worker == 1);
    CHECK(dispatcher.assign().empty());  // all busy, and no duration is known
    CHECK(dispatcher.running() == 2);

    const auto score = dispatcher.on_result(1, result_of(first[1], 5.0));
    REQUIRE(score.has_value());
    CHECK(score->job == 7);
    CHECK(score->column == 1);
    CHECK(score->sum_nll == 1.5);
    CHECK(score->scored_tokens == 2047);
    CHECK(score->worker == 1);
    CHECK(score->attempts == 1);
    CHECK(only(dispatcher).task.document == 102);
    CHECK_FALSE(dispatcher.idle());
}

TEST_CASE("a task carries what its job says, and only the wanted columns become tasks") {
    Dispatcher dispatcher{{}};
    Job job = job_on(4);
    job.start_tokens = 8;
    job.attention_scale = 1.25;
    job.per_token = true;
    job.columns = {2};
    dispatcher.submit(1, job);
    dispatcher.add_worker(0);
    const protocol::Task task = only(dispatcher).task;
    CHECK(task.factors == job.factors);
    CHECK(task.start_tokens == 8);
    CHECK(task.attention_scale == 1.25);
    CHECK(task.positions == 2048);
    CHECK(task.document == 102);
    CHECK(task.per_token);
    CHECK(dispatcher.origin(task.id, task.attempt)->second == 2);
    CHECK_FALSE(dispatcher.origin(task.id, task.attempt + 1).has_value());

    job.columns.clear();
    dispatcher.submit(2, job);  // nothing to do is done at once
    dispatcher.submit(2, job_on(1));
    CHECK_THROWS_AS(dispatcher.submit(1, job_on(1)), std::logic_error);
}

TEST_CASE("a second task waits at a worker only where tasks are known to be short") {
    for (const double seconds : {0.5, 5.0}) {
        INFO("tasks of ", seconds, " s");
        Dispatcher dispatcher{{}};
        dispatcher.add_worker(0);
        dispatcher.add_worker(1);
        teach_duration(dispatcher, seconds);
        dispatcher.submit(1, job_on(6));
        const auto assignments = dispatcher.assign();
        if (seconds < 1.0) {
            // Every worker is busy before anyone has a second one, and nobody has a third.
            CHECK(documents_of(assignments) == std::vector<std::uint32_t>{100, 101, 102, 103});
            CHECK(assignments[0].worker != assignments[1].worker);
            CHECK(assignments[2].worker != assignments[3].worker);
        } else {
            CHECK(assignments.size() == 2);
        }
        CHECK(dispatcher.assign().empty());
    }
}

TEST_CASE("a faulty task is tried again before anything else, and failed at the third fault") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    dispatcher.submit(1, job_on(3));
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
        const Assignment assignment = only(dispatcher);
        CHECK(assignment.task.document == 100);
        CHECK(assignment.task.attempt == attempt);
        const auto verdict = dispatcher.on_fault(0, fault_of(assignment));
        REQUIRE(verdict.has_value());
        CHECK(verdict->job == 1);
        CHECK(verdict->column == 0);
        CHECK(verdict->attempt == attempt);
        CHECK(verdict->reason == "crashed");
        CHECK(verdict->final == (attempt == 3));  // there is only one worker to ask
        CHECK_FALSE(verdict->worker_is_sick);
    }
    CHECK(dispatcher.idle());  // the job is dropped
}

TEST_CASE("a worker takes other jobs before it tries one again that faulted on it") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    dispatcher.submit(1, job_on(2));
    for (JobId job = 2; job <= 4; ++job) dispatcher.submit(job, job_on(1));
    for (JobId other = 2; other <= 4; ++other) {
        const Assignment faulty = only(dispatcher);
        CHECK(faulty.job == 1);
        CHECK(faulty.task.document == 100);
        const auto verdict = dispatcher.on_fault(0, fault_of(faulty));
        CHECK(verdict->final == (other == 4));
        if (other == 4) break;
        const Assignment healthy = only(dispatcher);
        CHECK(healthy.job == other);
        REQUIRE(dispatcher.on_result(0, result_of(healthy, 5.0)).has_value());
    }
    CHECK(only(dispatcher).job == 4);
}

TEST_CASE("three sick workers fail no job, however busy the healthy ones are") {
    Dispatcher dispatcher{{}};
    for (protocol::WorkerId worker = 0; worker < 5; ++worker) dispatcher.add_worker(worker);
    for (JobId job = 1; job <= 20; ++job) dispatcher.submit(job, job_on(2));
    std::vector<Assignment> long_tasks = dispatcher.assign();
    REQUIRE(long_tasks.size() == 5);
    std::set<protocol::WorkerId> sick{1, 2, 3};
    std::vector<Assignment> failing(long_tasks.begin() + 1, long_tasks.begin() + 4);
    int faults = 0;
    while (!failing.empty()) {
        for (const Assignment& assignment : failing) {
            ++faults;
            const auto verdict = dispatcher.on_fault(assignment.worker, fault_of(assignment));
            REQUIRE(verdict.has_value());
            CHECK_FALSE(verdict->final);
            if (verdict->worker_is_sick) {
                dispatcher.remove_worker(assignment.worker);
                sick.erase(assignment.worker);
            }
        }
        failing = dispatcher.assign();
    }
    CHECK(sick.empty());
    CHECK(faults == 3 * static_cast<int>(Dispatcher::sick_after));
    // The healthy ones do all of it; the word of those who went is forgotten.
    std::size_t scored = 0;
    for (const Assignment& assignment : {long_tasks[0], long_tasks[4]}) {
        scored += dispatcher.on_result(assignment.worker, result_of(assignment, 5.0)) ? 1U : 0U;
    }
    while (!dispatcher.idle()) {
        for (const Assignment& assignment : dispatcher.assign()) {
            scored += dispatcher.on_result(assignment.worker, result_of(assignment, 5.0)) ? 1U : 0U;
        }
    }
    CHECK(scored == 40);
}

TEST_CASE("a lone worker on which everything fails is sick before any job has failed") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(7);
    for (JobId job = 1; job <= 8; ++job) dispatcher.submit(job, job_on(2));
    for (std::size_t job = 1; job <= Dispatcher::sick_after; ++job) {
        const Assignment assignment = only(dispatcher);
        CHECK(assignment.job == job);
        const auto verdict = dispatcher.on_fault(7, fault_of(assignment));
        CHECK_FALSE(verdict->final);
        CHECK(verdict->worker_is_sick == (job == Dispatcher::sick_after));
    }
}

TEST_CASE("jobs that fail on a lone worker when nothing else is left are failed all the same") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    for (JobId job = 1; job <= 4; ++job) dispatcher.submit(job, job_on(1));
    int failed = 0;
    int faults = 0;
    while (!dispatcher.idle()) {
        const auto verdict = dispatcher.on_fault(0, fault_of(only(dispatcher)));
        REQUIRE(++faults <= 20);
        CHECK_FALSE(verdict->worker_is_sick);
        failed += verdict->final ? 1 : 0;
    }
    CHECK(failed == 4);
    CHECK(faults == 12);
}

TEST_CASE("near the end a short task is begun that stands behind long ones") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    const auto submit = [&dispatcher](JobId id, std::uint64_t positions) {
        Job job = job_on(1);
        job.positions = positions;
        dispatcher.submit(id, std::move(job));
    };
    submit(1, 16384);
    REQUIRE(dispatcher.on_result(0, result_of(only(dispatcher), 600.0)).has_value());
    submit(2, 256);
    REQUIRE(dispatcher.on_result(0, result_of(only(dispatcher), 10.0)).has_value());
    submit(3, 16384);
    submit(4, 256);
    const auto assigned = dispatcher.assign(Dispatcher::Seconds{60.0});
    REQUIRE(assigned.size() == 1);
    CHECK(assigned.front().job == 4);
    REQUIRE(dispatcher.on_result(0, result_of(assigned.front(), 10.0)).has_value());
    CHECK(dispatcher.assign(Dispatcher::Seconds{60.0}).empty());
    CHECK(dispatcher.assign(Dispatcher::Seconds{601.0}).front().job == 3);
}

TEST_CASE("the verdict on a task needs a second worker's word where there is a second worker") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    SUBCASE("one that is free gets the third try") {
        dispatcher.add_worker(1);
        dispatcher.submit(1, job_on(1));
        for (int fault = 1; fault <= 2; ++fault) {
            const Assignment assignment = only(dispatcher);
            CHECK(assignment.worker == 0);
            CHECK_FALSE(dispatcher.on_fault(0, fault_of(assignment))->final);
        }
        const Assignment third = only(dispatcher);
        CHECK(third.worker == 1);
        CHECK(dispatcher.on_fault(1, fault_of(third))->final);
    }
    SUBCASE("one that is busy or starting is waited for") {
        dispatcher.expect_worker(1);
        dispatcher.submit(1, job_on(1));
        for (int fault = 1; fault <= 2; ++fault) {
            CHECK_FALSE(dispatcher.on_fault(0, fault_of(only(dispatcher)))->final);
        }
        CHECK(dispatcher.assign().empty());
        CHECK_FALSE(dispatcher.can_assign());
        SUBCASE("and asked when it comes") {
            dispatcher.add_worker(1);
            CHECK(dispatcher.can_assign());
            CHECK(only(dispatcher).worker == 1);
        }
        SUBCASE("and done without when it does not come") {
            dispatcher.remove_worker(1);
            const Assignment third = only(dispatcher);
            CHECK(third.worker == 0);
            CHECK(dispatcher.on_fault(0, fault_of(third))->final);
        }
    }
    SUBCASE("and a single fault is no verdict even where one is enough") {
        Dispatcher strict{{.max_faults = 1}};
        strict.add_worker(0);
        strict.add_worker(1);
        strict.submit(1, job_on(1));
        CHECK_FALSE(strict.on_fault(0, fault_of(only(strict)))->final);
        const Assignment second = only(strict);
        CHECK(second.worker == 1);
        CHECK(strict.on_fault(1, fault_of(second))->final);
    }
}

TEST_CASE("a sum that is not finite needs a second worker's word where there is a second worker") {
    const auto unfinished = [](const Assignment& assignment) {
        protocol::Result result = result_of(assignment);
        result.sum_nll = std::numeric_limits<double>::quiet_NaN();
        return result;
    };
    for (const bool confirmed : {true, false}) {
        Dispatcher dispatcher{{}};
        dispatcher.add_worker(0);
        dispatcher.submit(1, job_on(1));
        const Assignment first = only(dispatcher);
        CHECK_FALSE(dispatcher.doubt(0, unfinished(first)));  // there is nobody to ask
        dispatcher.add_worker(1);
        CHECK_FALSE(dispatcher.doubt(0, result_of(first)));
        CHECK_FALSE(dispatcher.doubt(1, unfinished(first)));  // it has not got the task
        REQUIRE(dispatcher.doubt(0, unfinished(first)));
        CHECK_FALSE(dispatcher.on_fault(0, fault_of(first)).value().final);

        dispatcher.submit(2, job_on(1));
        const auto both = dispatcher.assign();  // the doubtful one goes to the other worker
        REQUIRE(both.size() == 2);
        const Assignment& second = both[0].job == 1 ? both[0] : both[1];
        CHECK(second.worker == 1);
        CHECK_FALSE(dispatcher.doubt(1, unfinished(second)));
        const auto score =
            dispatcher.on_result(1, confirmed ? unfinished(second) : result_of(second));
        CHECK(std::isfinite(score.value().sum_nll) == !confirmed);
    }
}

TEST_CASE("a lost worker's tasks are given to others first and count as no fault") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    teach_duration(dispatcher, 0.1);
    dispatcher.submit(1, job_on(4));
    for (protocol::WorkerId worker = 0; worker < 10; ++worker) {
        const auto assignments = dispatcher.assign();
        CHECK(documents_of(assignments) == std::vector<std::uint32_t>{100, 101});
        CHECK(assignments[0].task.attempt == static_cast<std::uint32_t>(worker + 1));
        dispatcher.add_worker(worker + 1);
        dispatcher.remove_worker(worker);
        CHECK(dispatcher.running() == 0);
        // Whatever it still says is too late.
        CHECK_FALSE(dispatcher.on_result(worker, result_of(assignments[0])).has_value());
        CHECK_FALSE(dispatcher.on_fault(worker, fault_of(assignments[1])).has_value());
    }
    CHECK(dispatcher.workers() == 1);
    CHECK_FALSE(dispatcher.idle());
}

TEST_CASE("late and doubled words about a task are passed over") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    dispatcher.add_worker(1);
    dispatcher.submit(1, job_on(1));
    const Assignment first = only(dispatcher);
    CHECK_FALSE(dispatcher.on_result(1, result_of(first)).has_value());  // not its task
    REQUIRE(dispatcher.on_fault(0, fault_of(first)).has_value());
    CHECK_FALSE(dispatcher.on_fault(0, fault_of(first)).has_value());
    CHECK_FALSE(dispatcher.on_result(0, result_of(first)).has_value());  // it was tried again
    const Assignment second = only(dispatcher);
    CHECK_FALSE(dispatcher.on_result(0, result_of(first)).has_value());
    REQUIRE(dispatcher.on_result(0, result_of(second)).has_value());
    CHECK_FALSE(dispatcher.on_result(0, result_of(second)).has_value());
    CHECK(dispatcher.running() == 0);
    CHECK(dispatcher.idle());
    protocol::Fault at_start;
    at_start.at_start = true;
    CHECK_FALSE(dispatcher.on_fault(0, at_start).has_value());
}

TEST_CASE("a deadline is ten times the longest duration seen at a length, at least the floor") {
    Dispatcher dispatcher{{.deadline_floor = Dispatcher::Seconds{20.0}}};
    dispatcher.add_worker(0);
    dispatcher.submit(1, job_on(1));
    const Assignment first = only(dispatcher);
    CHECK(first.task.deadline_seconds == 20.0);
    CHECK_FALSE(dispatcher.expected(2048).has_value());
    (void)dispatcher.on_result(0, result_of(first, 1.5));
    const std::vector<std::pair<double, double>> taken_and_allowed{
        {5.0, 20.0}, {3.0, 50.0}, {2.5, 50.0}};
    for (const auto& [taken, allowed] : taken_and_allowed) {
        dispatcher.submit(2, job_on(1));
        const Assignment assignment = only(dispatcher);
        CHECK(assignment.task.deadline_seconds == doctest::Approx{allowed});
        (void)dispatcher.on_result(0, result_of(assignment, taken));
    }
    CHECK(dispatcher.expected(2048)->count() == doctest::Approx{3.0});
    dispatcher.submit(3, job_on(1, 4096));
    CHECK(only(dispatcher).task.deadline_seconds == 20.0);  // another length, another duration
    CHECK_FALSE(dispatcher.expected(4096).has_value());
}

TEST_CASE("a long task that hangs is not waited for ten times as long, and its next try twice") {
    Dispatcher dispatcher{{.max_faults = 9, .deadline_floor = Dispatcher::Seconds{20.0}}};
    dispatcher.add_worker(0);
    teach_duration(dispatcher, 1800.0);
    dispatcher.submit(1, job_on(1));
    Assignment assignment = only(dispatcher);
    CHECK(assignment.task.deadline_seconds == 6000.0);
    protocol::Fault hang = fault_of(assignment);
    hang.hung = true;
    REQUIRE(dispatcher.on_fault(0, hang).has_value());
    assignment = only(dispatcher);
    CHECK(assignment.task.deadline_seconds == 12000.0);
    hang = fault_of(assignment);
    hang.hung = true;
    REQUIRE(dispatcher.on_fault(0, hang).has_value());
    assignment = only(dispatcher);
    CHECK(assignment.task.deadline_seconds == 12000.0);  // and no more than that
    // A crash says nothing of the time it needs.
    REQUIRE(dispatcher.on_fault(0, fault_of(assignment)).has_value());
    CHECK(only(dispatcher).task.deadline_seconds == 6000.0);
}

TEST_CASE("where no task was in time, the next deadline is ten times as long") {
    Dispatcher dispatcher{{.deadline_floor = Dispatcher::Seconds{20.0}}};
    dispatcher.add_worker(0);
    dispatcher.submit(1, job_on(1));
    dispatcher.submit(2, job_on(1, 4096));
    Assignment assignment = only(dispatcher);
    protocol::Fault fault = fault_of(assignment);
    SUBCASE("as it may only take longer than anybody thought") {
        fault.hung = true;
        (void)dispatcher.on_fault(0, fault);
        const Assignment other = only(dispatcher);
        CHECK(other.task.deadline_seconds == 20.0);  // of another length
        REQUIRE(dispatcher.on_result(0, result_of(other)).has_value());
        assignment = only(dispatcher);
        CHECK(assignment.task.deadline_seconds == 200.0);
        fault = fault_of(assignment);
        fault.hung = true;
        (void)dispatcher.on_fault(0, fault);
        assignment = only(dispatcher);
        CHECK(assignment.task.deadline_seconds == 2000.0);
        CHECK_FALSE(dispatcher.expected(2048).has_value());
        // What it takes is known now: a task that takes ten times as long hangs.
        REQUIRE(dispatcher.on_result(0, result_of(assignment, 30.0)).has_value());
        dispatcher.submit(3, job_on(1));
        CHECK(only(dispatcher).task.deadline_seconds == 300.0);
    }
    SUBCASE("but not after a crash") {
        (void)dispatcher.on_fault(0, fault);
        REQUIRE(dispatcher.on_result(0, result_of(only(dispatcher))).has_value());
        CHECK(only(dispatcher).task.deadline_seconds == 20.0);
    }
}

TEST_CASE("what tasks took in an earlier start counts for the deadline, not for the time left") {
    Dispatcher dispatcher{{.deadline_floor = Dispatcher::Seconds{20.0}}};
    dispatcher.expect_duration(2048, Dispatcher::Seconds{7.0});
    dispatcher.add_worker(0);
    dispatcher.submit(1, job_on(1));
    CHECK_FALSE(dispatcher.expected(2048).has_value());
    const auto assignments = dispatcher.assign(Dispatcher::Seconds{3.0});
    REQUIRE(assignments.size() == 1);
    CHECK(assignments[0].task.deadline_seconds == 70.0);
}

TEST_CASE("no task is started that is expected to outlast the time left") {
    Dispatcher dispatcher{{}};
    dispatcher.add_worker(0);
    teach_duration(dispatcher, 0.5);
    dispatcher.submit(1, job_on(3));
    CHECK(dispatcher.assign(Dispatcher::Seconds{0.4}).empty());
    CHECK(dispatcher.can_assign());
    CHECK(dispatcher.running() == 0);
    // One behind another takes the time of both.
    CHECK(dispatcher.assign(Dispatcher::Seconds{0.9}).size() == 1);
    CHECK(dispatcher.assign(Dispatcher::Seconds{0.9}).empty());
    CHECK(dispatcher.assign(Dispatcher::Seconds{1.0}).size() == 1);
    // Of a length that was never timed nothing is known: it is tried.
    dispatcher.add_worker(1);
    dispatcher.submit(2, job_on(1, 4096));
    const auto untimed = dispatcher.assign(Dispatcher::Seconds{0.1});
    REQUIRE(untimed.size() == 1);  // past the third task of the first job, which does not fit
    CHECK(untimed.front().job == 2);
}

TEST_CASE("a failed job's other tasks are dropped; a worker is free when it is done with its own") {
    Dispatcher dispatcher{{.max_faults = 1}};
    dispatcher.add_worker(0);
    dispatcher.add_worker(1);
    dispatcher.submit(1, job_on(4));
    const auto assignments = dispatcher.assign();
    REQUIRE(assignments.size() == 2);
    dispatcher.remove_worker(1);
    dispatcher.add_worker(2);
    const Assignment moved = only(dispatcher);
    CHECK(moved.worker == 2);
    CHECK_FALSE(dispatcher.on_fault(0, fault_of(assignments[0]))->final);
    REQUIRE(dispatcher.on_result(2, result_of(moved, 5.0)).has_value());
    const auto again = dispatcher.assign();
    REQUIRE(again.size() == 2);
    CHECK(again[0].task.document == 102);  // worker 0 may not judge its own fault again
    CHECK(again[1].task.document == 100);
    CHECK(dispatcher.on_fault(2, fault_of(again[1]))->final);
    CHECK(dispatcher.idle());
    CHECK(dispatcher.running() == 1);  // worker 0 computes for nothing

    dispatcher.submit(2, job_on(2));
    const Assignment next = only(dispatcher);
    CHECK(next.worker == 2);
    CHECK_FALSE(dispatcher.on_result(0, result_of(again[0])).has_value());
    CHECK(dispatcher.running() == 1);
    CHECK_FALSE(dispatcher.on_result(0, result_of(again[0])).has_value());  // said twice
    CHECK(dispatcher.running() == 1);
    CHECK(only(dispatcher).worker == 0);
}
