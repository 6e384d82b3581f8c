// SPDX-License-Identifier: Apache-2.0
#include "coordinator/score_jobs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
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

std::optional<std::vector<JobScores>> score(
    const std::vector<Job>& jobs, ScriptedTransport& transport,
    const std::function<void(std::uint64_t, std::uint64_t)>& on_score = [](auto, auto) {}) {
    return score_jobs(jobs, transport, {}, on_score, [] { return std::nullopt; });
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
            CHECK(job.failure.empty());
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
    CHECK((*scores)[0].token_nll[0] == std::vector<float>(4, 1.0F));
    CHECK((*scores)[1].token_nll[2] == std::vector<float>(4, 6.0F));
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
    CHECK((*scores)[0].failure == "out of memory");
    CHECK(std::isnan((*scores)[0].sum_nll[1]));
    CHECK((*scores)[1].failure.empty());
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

TEST_CASE("a request to stop ends it without scores") {
    ScriptedTransport transport{1};
    const auto scores = score_jobs(
        two_jobs(), transport, {}, [](auto, auto) {},
        [&transport]() -> std::optional<std::string> {
            return transport.answered() < 3 ? std::nullopt : std::optional<std::string>{"SIGINT"};
        });
    CHECK_FALSE(scores.has_value());
    CHECK(transport.answered() == 3);
}
