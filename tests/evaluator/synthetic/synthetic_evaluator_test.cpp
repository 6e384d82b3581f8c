// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/synthetic_evaluator.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <numeric>
#include <set>
#include <vector>

using longrope::evaluator::EvaluationRequest;
using longrope::evaluator::EvaluationResult;
using longrope::evaluator::EvaluatorError;
using longrope::evaluator::SyntheticEvaluator;
using longrope::evaluator::SyntheticGarbage;
using longrope::evaluator::SyntheticSettings;
using std::chrono::nanoseconds;

namespace {

struct Interrupted {};

EvaluationRequest some_request() {
    return {.factors = std::vector<double>(16, 1.5), .start_tokens = 2, .positions = 1000};
}

void no_sleep(nanoseconds /*duration*/) {}

}  // namespace

TEST_CASE("the same request has the same result in every evaluator") {
    SyntheticEvaluator first{SyntheticSettings{}};
    SyntheticEvaluator second{SyntheticSettings{.duration_ms = 1.0}, no_sleep};
    const EvaluationResult result = first.evaluate(some_request());
    CHECK(result.scored_tokens == 999);
    CHECK(result.sum_nll > 0.0);
    CHECK(result.token_nll.empty());
    CHECK(second.evaluate(some_request()).sum_nll == result.sum_nll);
    CHECK(first.evaluate(some_request()).sum_nll == result.sum_nll);
}

TEST_CASE("values per token add up to the sum") {
    SyntheticEvaluator evaluator{SyntheticSettings{}};
    EvaluationRequest request = some_request();
    request.per_token = true;
    const EvaluationResult result = evaluator.evaluate(request);
    REQUIRE(result.token_nll.size() == 999);
    const double total = std::accumulate(result.token_nll.begin(), result.token_nll.end(), 0.0);
    CHECK(total == doctest::Approx(result.sum_nll).epsilon(1e-6));
}

TEST_CASE("a task takes its duration, spread by its content") {
    std::vector<nanoseconds> slept;
    SyntheticEvaluator evaluator{{.duration_ms = 10.0, .duration_spread = 0.5},
                                 [&](nanoseconds duration) { slept.push_back(duration); }};
    std::set<nanoseconds> distinct;
    for (std::uint32_t document = 0; document < 24; ++document) {
        EvaluationRequest request = some_request();
        request.document = document;
        static_cast<void>(evaluator.evaluate(request));
        CHECK(slept.back() == evaluator.duration(request));
        CHECK(slept.back() >= std::chrono::milliseconds{5});
        CHECK(slept.back() <= std::chrono::milliseconds{15});
        distinct.insert(slept.back());
    }
    CHECK(distinct.size() == 24);
}

TEST_CASE("a task really sleeps") {
    SyntheticEvaluator evaluator{SyntheticSettings{.duration_ms = 20.0}};
    const auto begin = std::chrono::steady_clock::now();
    static_cast<void>(evaluator.evaluate(some_request()));
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds{20});
}

TEST_CASE("fault not_finite gives NaN as a result, garbage a thing that is no error to report") {
    SyntheticEvaluator not_finite{{.fault = "not_finite", .fault_every = 2}};
    CHECK(std::isfinite(not_finite.evaluate(some_request()).sum_nll));
    CHECK(std::isnan(not_finite.evaluate(some_request()).sum_nll));
    SyntheticEvaluator garbage{{.fault = "garbage", .fault_every = 1}};
    CHECK_THROWS_AS(static_cast<void>(garbage.evaluate(some_request())), SyntheticGarbage);
}

TEST_CASE("fault hang sleeps without end, fault start refuses to begin") {
    int sleeps = 0;
    SyntheticEvaluator hang{{.fault = "hang", .fault_every = 1}, [&](nanoseconds) {
                                if (++sleeps == 3) throw Interrupted{};
                            }};
    CHECK_THROWS_AS(static_cast<void>(hang.evaluate(some_request())), Interrupted);
    CHECK_THROWS_WITH_AS(SyntheticEvaluator{SyntheticSettings{.fault = "start"}},
                         doctest::Contains("synthetic fault: start"), EvaluatorError);
}

TEST_CASE("fault crash ends the process by SIGKILL") {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        SyntheticEvaluator crash{{.fault = "crash", .fault_every = 1}};
        static_cast<void>(crash.evaluate(some_request()));
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("durations out of range are refused") {
    for (const SyntheticSettings& settings :
         {SyntheticSettings{.duration_ms = -1.0}, SyntheticSettings{.duration_ms = std::nan("")},
          SyntheticSettings{.duration_spread = 1.5}, SyntheticSettings{.duration_ms = 1e12}}) {
        CHECK_THROWS_WITH_AS(SyntheticEvaluator{settings},
                             doctest::Contains("evaluator.synthetic.duration"), EvaluatorError);
    }
}
