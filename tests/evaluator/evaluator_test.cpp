// SPDX-License-Identifier: Apache-2.0
#include "evaluator/evaluator.hpp"

#include <doctest/doctest.h>

using longrope::evaluator::EvaluatorError;
using longrope::evaluator::EvaluatorSettings;
using longrope::evaluator::make_evaluator;

TEST_CASE("make_evaluator builds the synthetic backend without model or documents") {
    const auto evaluator = make_evaluator({.backend = "synthetic"});
    CHECK(evaluator->identity().device_name == "synthetic");
    CHECK(evaluator->identity().model_digest.size() == 64);
}

TEST_CASE("make_evaluator refuses a setting that it does not know, naming the accepted ones") {
    const auto refused = [](const EvaluatorSettings& settings, const char* message) {
        CHECK_THROWS_WITH_AS(static_cast<void>(make_evaluator(settings)),
                             doctest::Contains(message), EvaluatorError);
    };
    refused({.backend = "tpu"}, "evaluator.backend = \"tpu\", expected one of ");
    refused({.backend = "synthetic", .precision = "f16"}, "expected one of f32, bf16");
    refused({.backend = "synthetic", .isa = "sse"}, "evaluator.isa = \"sse\"");
    refused({.backend = "synthetic", .angles = "half"}, "expected one of double, float32");
    refused({.backend = "synthetic", .weights = "mapped"}, "expected one of resident, streamed");
    refused({.backend = "synthetic", .threads = 0}, "evaluator.threads = 0");
    refused({.backend = "reference", .model_path = "/nonexistent"}, "/nonexistent");
    refused({.backend = "synthetic", .synthetic = {.fault = "explode"}},
            "evaluator.synthetic.fault = \"explode\"");
}
