// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinate.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "coordinator/verification.hpp"
#include "tests/coordinator/coordinated_run.hpp"
#include "tests/coordinator/direct_run.hpp"

using namespace longrope;
using namespace longrope::coordinator;

TEST_CASE("the history is the same whatever number of workers and order of arrival") {
    const std::string expected =
        found_digest(finished_run(small_configuration()).snapshot().stages);
    for (const int workers : {1, 2, 3, 8}) {
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
            INFO(workers, " workers, seed ", seed);
            CoordinatedRun run;
            ScriptedTransport transport{workers, seed};
            CHECK(run.start(transport) == Ending::complete);
            CHECK(run.found() == expected);
            CHECK(transport.repeated() == 3);  // PI is a baseline and the first individual
            const RunHistory stored = run.stored();
            CHECK(stored.state == RunState::complete);
            CHECK(stored.starts == 1);
            CHECK(stored.numerics_class == "scripted 1");
            CHECK(stored.hosts == (workers == 1 ? "host0" : "host0,host1"));
            std::uint64_t tasks = 0;
            for (const WorkerRow& worker : stored.workers) tasks += worker.tasks;
            CHECK(tasks == transport.answered());
        }
    }
}

TEST_CASE("faults and lost workers on the way change nothing that is found") {
    const std::string expected =
        found_digest(finished_run(small_configuration()).snapshot().stages);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        INFO("seed = ", seed);
        CoordinatedRun run;
        ScriptedTransport transport{6, seed};
        genome::RandomStream random{seed, "faults", 0};
        std::map<std::uint64_t, int> faults;
        transport.fault = [&](protocol::WorkerId, const protocol::Task& task) {
            const bool due = faults[task.id] < 2 && random.happens(0.2);
            if (due) ++faults[task.id];
            return due ? std::optional<std::string>{"crashed"} : std::nullopt;
        };
        transport.at_poll = [&](std::uint64_t poll) {
            for (protocol::WorkerId worker = 1; worker < 6; ++worker) {
                if (poll == 20U * static_cast<std::uint64_t>(worker)) {
                    transport.lose(worker, "no word from it");
                }
            }
        };
        CHECK(run.start(transport) == Ending::complete);
        CHECK(run.found() == expected);
        const auto stored = run.stored();
        CHECK(std::ranges::count(stored.workers, "lost", &WorkerRow::state) == 5);
        std::size_t faulted = 0;
        for (const auto& [task, count] : faults) faulted += static_cast<std::size_t>(count);
        CHECK(stored.stages.front().failures.size() == faulted);
    }
}

TEST_CASE("an individual whose task faults three times is failed with its reason, and no other") {
    CoordinatedRun run;
    ScriptedTransport transport{2};
    const auto cursed = [](double last) { return std::llround(last * 1000.0) % 4 == 1; };
    transport.fault = [&](protocol::WorkerId worker, const protocol::Task& task) {
        return cursed(task.factors.back()) && task.document == 1
                   ? std::optional{"out of memory on worker " + std::to_string(worker)}
                   : std::nullopt;
    };
    CHECK(run.start(transport) == Ending::complete);
    const StageHistory stage = run.stored().stages.front();
    std::size_t failed = 0;
    for (std::size_t i = 0; i < stage.evaluations.rows.size(); ++i) {
        const double last = stage.evaluations.factors[i * 8 + 7];
        CHECK((stage.evaluations.rows[i].status == Status::failed) == cursed(last));
        failed += cursed(last) ? 1U : 0U;
        const std::string told =
            "at individual " + std::to_string(i) + " on document 1 (\"search 2\") failed for good";
        CHECK((run.watcher->lines.find(told) != std::string::npos) == cursed(last));
    }
    REQUIRE(failed > 0);
    std::map<std::pair<std::string, std::uint32_t>, std::set<std::int32_t>> workers;
    for (const FailureRow& failure : stage.failures) {
        CHECK(failure.document == 1);
        CHECK(failure.reason == "out of memory on worker " + std::to_string(failure.worker));
        workers[{failure.phase, failure.row}].insert(failure.worker);
    }
    for (const auto& [row, asked] : workers) CHECK(asked.size() == 2);
}

TEST_CASE("a worker whose sums are never finite is given up, and fails no individual") {
    CoordinatedRun reference;
    ScriptedTransport healthy{2};
    REQUIRE(reference.start(healthy) == Ending::complete);
    CoordinatedRun run;
    ScriptedTransport transport{3};
    transport.sum_on = [&transport](protocol::WorkerId worker, const protocol::Task& task) {
        return worker == 1 ? std::numeric_limits<double>::quiet_NaN() : transport.sum(task);
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(run.found() == reference.found());
    CHECK(run.stored().workers[1].state == "lost");
    CHECK(run.watcher->lines.find("its loss is not finite, which another worker is to confirm") !=
          std::string::npos);
}

TEST_CASE("an individual whose sums are finite nowhere has failed, and no worker") {
    CoordinatedRun run;
    ScriptedTransport transport{3};
    const auto cursed = [](double last) { return std::llround(last * 1000.0) % 4 == 1; };
    transport.sum_on = [&](protocol::WorkerId, const protocol::Task& task) {
        return cursed(task.factors.back()) ? std::numeric_limits<double>::infinity()
                                           : transport.sum(task);
    };
    CHECK(run.start(transport) == Ending::complete);
    const RunHistory stored = run.stored();
    CHECK(std::ranges::count(stored.workers, "lost", &WorkerRow::state) == 0);
    const ScoreTable<EvaluationRow>& table = stored.stages.front().evaluations;
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
        CHECK((table.rows[i].status == Status::failed) == cursed(table.factors[i * 8 + 7]));
        if (!cursed(table.factors[i * 8 + 7])) continue;
        CHECK(cell_status(table, i, 0) == DocumentStatus::not_finite);
        CHECK(table.rows[i].attempts == 2 * columns(table));
    }
    CHECK_NOTHROW(static_cast<void>(verify(stored)));
}

TEST_CASE("workers on which everything fails are given up, and fail no individual") {
    CoordinatedRun reference;
    ScriptedTransport healthy{2};
    REQUIRE(reference.start(healthy) == Ending::complete);
    CoordinatedRun run;
    ScriptedTransport transport{4};
    transport.fault = [&](protocol::WorkerId worker, const protocol::Task&) {
        const bool sick = worker == 1 || worker == 2;  // of one node, say
        return sick ? std::optional<std::string>{"uncorrectable ECC error"} : std::nullopt;
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(run.found() == reference.found());
    const RunHistory stored = run.stored();
    CHECK(std::ranges::count(stored.workers, "lost", &WorkerRow::state) == 2);
    CHECK(stored.stages.front().failures.size() >= 2 * Dispatcher::sick_after);

    // Alone, such a worker ends the search; with the cause gone the same command goes on.
    CoordinatedRun alone;
    ScriptedTransport sick{1};
    sick.fault = [](protocol::WorkerId, const protocol::Task&) {
        return std::optional<std::string>{"uncorrectable ECC error"};
    };
    CHECK_THROWS_WITH_AS(
        (void)alone.start(sick),
        "no worker is left: 5 candidates in a row failed on it, the last one thus: "
        "uncorrectable ECC error",
        NoWorkers);
    ScriptedTransport mended{1};
    CHECK(alone.start(mended) == Ending::complete);
    CHECK(alone.found() == reference.found());
}

TEST_CASE("a generation is announced when it is complete, once, and not again after a resume") {
    CoordinatedRun run;
    CHECK(run.start(2, 1) == Ending::complete);
    CHECK(run.watcher->generations == std::vector<std::uint32_t>{0, 1, 2, 3});
    run.configuration.stages.front().iterations = 5;
    CHECK(run.start(2, 1) == Ending::complete);
    CHECK(run.watcher->generations == std::vector<std::uint32_t>{4, 5});
}

TEST_CASE("what is announced as stored only grows, and ends with all that was scored") {
    CoordinatedRun run;
    CHECK(run.start(3, 5) == Ending::complete);
    const auto& stored = run.watcher->stored_scores;
    REQUIRE_FALSE(stored.empty());
    CHECK(std::ranges::is_sorted(stored));
    CHECK(stored.back() == scores_in(run.stored().stages.front()));
}

TEST_CASE("a complete run has nothing left to do") {
    CoordinatedRun run;
    CHECK(run.start(2) == Ending::complete);
    const std::string expected = run.found();
    ScriptedTransport idle{2};
    CHECK(run.start(idle) == Ending::complete);
    CHECK(idle.sent() == 0);
    CHECK(run.found() == expected);
}

TEST_CASE("the stages of a run follow each other on the same workers") {
    CoordinatedRun run;
    run.configuration.stages.push_back(run.configuration.stages.front());
    run.configuration.stages.back().name = "4096";
    run.configuration.stages.back().target_tokens = 4096;
    const std::string expected = found_digest(finished_run(run.configuration).snapshot().stages);
    ScriptedTransport transport{3, 2};
    CHECK(run.start(transport) == Ending::complete);
    CHECK(run.found() == expected);
    CHECK(run.watcher->generations == std::vector<std::uint32_t>{0, 1, 2, 3, 0, 1, 2, 3});
}

TEST_CASE("a loss that comes with the last score does not matter any more") {
    CoordinatedRun counting;
    ScriptedTransport first{1};
    CHECK(counting.start(first) == Ending::complete);
    CoordinatedRun run;
    ScriptedTransport transport{1};
    bool lost = false;
    transport.fault = [&, all = first.answered()](
                          protocol::WorkerId,
                          const protocol::Task& task) -> std::optional<std::string> {
        if (transport.answered() + 1 == all && !lost) {
            lost = true;
            const double sum =
                closed_form_sum(task.factors, task.start_tokens, task.document, task.positions);
            transport.say(0, protocol::Result{task.id, task.attempt, sum, task.positions - 1, 0.1});
            transport.say(0, protocol::Lost{"its rank died"});
        }
        return std::nullopt;
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(lost);
    CHECK(run.found() == counting.found());
}
