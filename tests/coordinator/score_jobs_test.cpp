// SPDX-License-Identifier: Apache-2.0
#include "coordinator/score_jobs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/coordinate.hpp"
#include "tests/coordinator/scripted_transport.hpp"

using namespace longrope;
using namespace longrope::coordinator;

namespace {

std::vector<Job> two_jobs(bool per_token = false) {
    std::vector<Job> jobs;
    for (const double factor : {1.0, 2.0}) {
        Job job;
        job.factors.assign(8, factor);
        job.positions = 2048;
        job.documents = {4, 7, 9};
        job.columns = {0, 1, 2};
        job.per_token = per_token;
        jobs.push_back(job);
    }
    return jobs;
}

Requirements required() {
    Requirements required;
    required.result = "evaluation";
    required.model_digest = small_facts().model_digest;
    required.documents_digest = small_facts().documents_digest;
    return required;
}

/// Scores two jobs; what is said of the workers that are refused.
std::string refusals(ScriptedTransport& transport, const Requirements& wanted = required()) {
    std::string lines;
    const auto scores = score_jobs(
        two_jobs(), transport, {}, wanted, [](auto, auto) {}, [] { return std::nullopt; },
        [&lines](const protocol::Hello&, const std::optional<Refusal>& refusal) {
            if (refusal) lines += refusal->line + "\n";
        });
    REQUIRE(scores.has_value());
    CHECK(std::ranges::all_of(*scores, [](const JobScores& job) {
        return std::ranges::all_of(job.scored_tokens,
                                   [](std::uint64_t tokens) { return tokens == 2047; });
    }));
    return lines;
}

std::optional<std::vector<JobScores>> score(
    const std::vector<Job>& jobs, ScriptedTransport& transport,
    const std::function<void(std::uint64_t, std::uint64_t)>& on_score = [](auto, auto) {}) {
    return score_jobs(jobs, transport, {}, required(), on_score, [] { return std::nullopt; });
}

}  // namespace

TEST_CASE("a list of jobs is scored on all workers, whatever the order of arrival") {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        INFO("seed = ", seed);
        ScriptedTransport transport{3, seed};
        std::vector<std::uint64_t> counts;
        const auto scores =
            score(two_jobs(), transport, [&](std::uint64_t done, std::uint64_t all) {
                counts.push_back(done);
                CHECK(all == 6);
            });
        REQUIRE(scores.has_value());
        CHECK(counts == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6});
        const auto jobs = two_jobs();
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            const JobScores& job = (*scores)[i];
            CHECK_FALSE(job.failure.has_value());
            CHECK(job.token_nll.empty());
            for (std::size_t column = 0; column < 3; ++column) {
                CHECK(job.scored_tokens[column] == 2047);
                CHECK(job.sum_nll[column] ==
                      closed_form_sum(jobs[i].factors, 0, jobs[i].documents[column], 2048));
            }
        }
    }
}

TEST_CASE("scores per token are put together, and those of a failed attempt are replaced") {
    ScriptedTransport transport{1};
    int attempts = 0;
    transport.fault = [&](protocol::WorkerId worker,
                          const protocol::Task& task) -> std::optional<std::string> {
        CHECK(task.per_token);
        const auto number = static_cast<float>(attempts++);
        transport.say(worker, protocol::TokenScores{task.id, task.attempt, 2, {number, number}});
        transport.say(worker, protocol::TokenScores{task.id, task.attempt, 0, {number, number}});
        transport.say(worker, protocol::TokenScores{task.id, task.attempt + 1, 0, {9.0F}});
        if (attempts == 1) return "crashed halfway";
        return std::nullopt;
    };
    const auto scores = score(two_jobs(true), transport);
    REQUIRE(scores.has_value());
    CHECK(attempts == 7);
    // The second task was the other job's.
    CHECK((*scores)[0].token_nll[0] == std::vector<float>(4, 2.0F));
    CHECK((*scores)[1].token_nll[2] == std::vector<float>(4, 6.0F));
}

TEST_CASE("jobs that all fail are told one by one, and those that do not are scored") {
    ScriptedTransport transport{2};
    transport.fault = [](protocol::WorkerId,
                         const protocol::Task& task) -> std::optional<std::string> {
        return task.factors.front() > 1.5 ? std::optional{"out of memory"} : std::nullopt;
    };
    std::vector<Job> jobs{two_jobs().front()};
    while (jobs.size() < 8) {
        jobs.push_back(jobs.back());
        jobs.back().factors.front() += 1.0;
    }
    const auto scores = score(jobs, transport);
    REQUIRE(scores.has_value());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const auto& failure = (*scores)[i].failure;
        CHECK(failure.has_value() == (i > 0));
        if (failure) CHECK(failure->reason == "out of memory");
    }
    CHECK_FALSE(std::isnan((*scores)[0].sum_nll[2]));
}

TEST_CASE("a job that fails says why and costs the others nothing") {
    ScriptedTransport transport{2, 1};
    transport.fault = [](protocol::WorkerId,
                         const protocol::Task& task) -> std::optional<std::string> {
        if (task.factors.front() == 1.0 && task.document == 7) return "out of memory";
        return std::nullopt;
    };
    const auto scores = score(two_jobs(), transport);
    REQUIRE(scores.has_value());
    const auto& failure = (*scores)[0].failure;
    REQUIRE(failure.has_value());
    CHECK(failure->reason == "out of memory");
    CHECK(failure->column == 1);
    CHECK(std::isnan((*scores)[0].sum_nll[1]));
    CHECK_FALSE((*scores)[1].failure.has_value());
    CHECK(std::ranges::none_of((*scores)[1].sum_nll, [](double sum) { return std::isnan(sum); }));
}

TEST_CASE(
    "without workers the evaluator's own words end it; a loss after the last score does not") {
    ScriptedTransport refusing{2};
    refusing.first_word = [](protocol::WorkerId) -> ScriptedTransport::What {
        return protocol::Fault{0, 0, true, true, "no such model"};
    };
    CHECK_THROWS_WITH_AS((void)score(two_jobs(), refusing), "no worker is left: no such model",
                         NoWorkers);

    ScriptedTransport dying{1};
    dying.fault = [&dying](protocol::WorkerId worker,
                           const protocol::Task& task) -> std::optional<std::string> {
        if (dying.answered() < 5) return std::nullopt;
        dying.say(worker, protocol::Result{task.id, task.attempt, 1.0, 2047, 0.1});
        dying.say(worker, protocol::Lost{"its rank died"});
        return std::nullopt;
    };
    CHECK(score(two_jobs(), dying).has_value());
}

TEST_CASE("what was scored before the last worker is lost is kept, and the rest says why") {
    ScriptedTransport transport{1};
    transport.fault = [&transport](protocol::WorkerId worker,
                                   const protocol::Task&) -> std::optional<std::string> {
        if (transport.answered() < 4) return std::nullopt;
        transport.say(worker, protocol::Lost{"its rank died"});
        return "nobody hears this";
    };
    const auto scores = score(two_jobs(), transport);
    REQUIRE(scores.has_value());
    std::size_t scored = 0;
    for (const JobScores& job : *scores) {
        for (std::size_t column = 0; column < 3; ++column) {
            CHECK(std::isnan(job.sum_nll[column]) == (job.scored_tokens[column] == 0));
            if (job.scored_tokens[column] > 0) ++scored;
        }
        const bool whole = std::ranges::all_of(job.scored_tokens, [](auto n) { return n > 0; });
        REQUIRE(job.failure.has_value() != whole);
        if (job.failure) CHECK(job.failure->reason == "no worker is left: its rank died");
        if (job.failure) CHECK(job.scored_tokens[job.failure->column] == 0);
    }
    CHECK(scored == 4);
}

TEST_CASE("a request to stop ends it without scores") {
    ScriptedTransport transport{1};
    const auto scores = score_jobs(
        two_jobs(), transport, {}, required(), [](auto, auto) {},
        [&transport]() -> std::optional<std::string> {
            return transport.answered() < 3 ? std::nullopt : std::optional<std::string>{"SIGINT"};
        });
    CHECK_FALSE(scores.has_value());
    CHECK(transport.answered() == 3);
}

TEST_CASE("the second rank on a GPU evaluates nothing, and does where it has another") {
    for (const std::string device : {"GPU-1", "GPU-2", ""}) {
        INFO("device of worker 1: ", device);
        ScriptedTransport transport{2, 1};
        std::vector<int> tasks(2);
        transport.first_word = [&device](protocol::WorkerId worker) -> ScriptedTransport::What {
            protocol::Hello hello = ScriptedTransport::hello(worker);
            hello.device_uuid = worker == 0 && !device.empty() ? "GPU-1" : device;
            return hello;
        };
        transport.fault = [&tasks](protocol::WorkerId worker,
                                   const protocol::Task&) -> std::optional<std::string> {
            ++tasks.at(static_cast<std::size_t>(worker));
            return std::nullopt;
        };
        const std::string lines = refusals(transport);
        const bool same = device == "GPU-1";
        CHECK((tasks[1] == 0) == same);
        CHECK(transport.retired().contains(1) == same);  // so that the GPU is the other's alone
        CHECK(lines ==
              (same ? "worker 1 on host1 is refused: worker 0 has the same device GPU-1 already\n"
                    : ""));
    }
}

TEST_CASE("a GPU is free again when the rank that had it is gone, and kept by one that restarts") {
    ScriptedTransport transport{3, 1};
    const auto on_gpu = [](protocol::WorkerId worker) {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        hello.device_uuid = "GPU-1";
        return hello;
    };
    transport.first_word = [&](protocol::WorkerId worker) -> ScriptedTransport::What {
        if (worker == 0) return on_gpu(worker);
        return protocol::Fault{0, 0, true, false, "crashed"};  // starts again
    };
    transport.at_poll = [&](std::uint64_t poll) {
        if (poll == 2) transport.say(0, on_gpu(0));
        if (poll == 3) transport.say(1, on_gpu(1));
        if (poll == 4) transport.lose(0, "its rank died");
        if (poll == 5) transport.say(2, on_gpu(2));
    };
    CHECK(refusals(transport) ==
          "worker 1 on host1 is refused: worker 0 has the same device GPU-1 already\n");
}

TEST_CASE("ranks of another class evaluate nothing, unless that is allowed") {
    const auto two_classes = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        hello.numerics_class += worker == 1 ? "b" : "a";
        return hello;
    };
    ScriptedTransport strict{2, 1};
    strict.first_word = two_classes;
    CHECK(refusals(strict) ==
          "worker 1 on host1 is refused: it computes as \"scripted 1b\", the evaluation was begun "
          "as \"scripted 1a\"\n");

    ScriptedTransport mixed{2, 1};
    mixed.first_word = two_classes;
    Requirements lenient = required();
    lenient.allow_mixed_numerics = true;
    CHECK(refusals(mixed, lenient).empty());
}

TEST_CASE("without a rank that is admitted the reason is told") {
    ScriptedTransport stale{1};
    Requirements other = required();
    other.model_digest = "model 2";
    CHECK_THROWS_WITH_AS((void)refusals(stale, other),
                         "no worker is left: its model has digest model 1, the coordinator's "
                         "model 2",
                         NoWorkers);
}
