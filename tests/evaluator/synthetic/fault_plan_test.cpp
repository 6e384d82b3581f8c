// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/fault_plan.hpp"

#include <doctest/doctest.h>

#include <vector>

using longrope::evaluator::EvaluationRequest;
using longrope::evaluator::EvaluatorError;
using longrope::evaluator::Fault;
using longrope::evaluator::FaultPlan;

TEST_CASE("every N-th task of a process faults") {
    FaultPlan plan{{.fault = "garbage", .fault_every = 3}};
    std::vector<int> faulty;
    for (int task = 1; task <= 9; ++task) {
        if (plan.next({}) == Fault::garbage) faulty.push_back(task);
    }
    CHECK(faulty == std::vector<int>{3, 6, 9});
}

TEST_CASE("after an error every later task of the process is an error") {
    FaultPlan plan{{.fault = "error", .fault_every = 3}};
    for (int task = 1; task <= 9; ++task) {
        CHECK(plan.next({}) == (task < 3 ? Fault::none : Fault::error));
    }
}

TEST_CASE("a poisonous factor vector faults in every process and on every document") {
    const FaultPlan plan{{.fault = "not_finite", .poison_every = 5}};
    int poisonous = 0;
    for (int i = 0; i < 1000; ++i) {
        EvaluationRequest request{.factors = {1.0, 1.0 + 0.001 * i}, .positions = 100};
        const bool poison = plan.is_poisonous(request);
        poisonous += poison ? 1 : 0;
        request.document = 3;
        request.positions = 200;
        CHECK(plan.is_poisonous(request) == poison);
        FaultPlan fresh{{.fault = "not_finite", .poison_every = 5}};
        CHECK((fresh.next(request) == Fault::not_finite) == poison);
    }
    CHECK(poisonous > 150);
    CHECK(poisonous < 250);
}

TEST_CASE("without a fault nothing faults, and settings that ask for one are refused") {
    FaultPlan plan{{}};
    for (int task = 0; task < 10; ++task) CHECK(plan.next({}) == Fault::none);
    CHECK_THROWS_WITH_AS((FaultPlan{{.fault_every = 2}}), doctest::Contains("fault_every = 2"),
                         EvaluatorError);
    CHECK_THROWS_WITH_AS((FaultPlan{{.poison_every = 2}}), doctest::Contains("poison_every = 2"),
                         EvaluatorError);
    CHECK_THROWS_WITH_AS((FaultPlan{{.fault = "boom"}}),
                         doctest::Contains("none, crash, hang, not_finite, garbage, start"),
                         EvaluatorError);
}
