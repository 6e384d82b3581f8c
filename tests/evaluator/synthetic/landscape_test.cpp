// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/landscape.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "genome/attention_scale.hpp"
#include "genome/baseline_factors.hpp"

using longrope::evaluator::EvaluationRequest;
using longrope::evaluator::EvaluatorError;
using longrope::evaluator::Landscape;
using longrope::evaluator::SyntheticSettings;
using longrope::genome::AttentionScale;
using longrope::genome::RotaryFacts;

namespace {

constexpr std::uint64_t target = 2048;

EvaluationRequest request_of(std::vector<double> factors, std::uint64_t positions = target) {
    const double scale =
        AttentionScale::parse("su").value().value(256.0, static_cast<double>(positions));
    return {.factors = std::move(factors),
            .start_tokens = 4,
            .attention_scale = scale,
            .positions = positions};
}

}  // namespace

TEST_CASE(
    "the hidden optimum is monotone, inside the search space and better than its neighbours") {
    const Landscape landscape{SyntheticSettings{}};
    for (const std::uint64_t positions : {128U, 256U, 300U, 2048U, 131072U}) {
        const double stretch = std::max(1.0, static_cast<double>(positions) / 256.0);
        for (std::uint32_t document = 0; document < landscape.documents(); ++document) {
            INFO("positions ", positions, ", document ", document);
            const std::vector<double> best = landscape.optimum(document, positions);
            CHECK(std::ranges::is_sorted(best));
            CHECK(best.front() >= 1.0);
            CHECK(best.back() <= 1.25 * stretch);
            EvaluationRequest request = request_of(best, positions);
            request.document = document;
            const double least = landscape.mean_nll(request);
            CHECK(least > 0.0);
            for (std::size_t pair = 0; pair < best.size(); ++pair) {
                for (const double change : {0.98, 1.02}) {
                    request.factors[pair] = best[pair] * change;
                    CHECK(landscape.mean_nll(request) > least);
                    request.factors[pair] = best[pair];
                }
            }
        }
    }
}

TEST_CASE("the published rules keep their order: none, PI, NTK, YaRN, optimum") {
    const Landscape landscape{SyntheticSettings{}};
    const RotaryFacts facts{.rotary_pairs = 16, .theta = 10000.0, .original_window = 256.0};
    const auto score = [&](const std::vector<double>& factors) {
        return landscape.mean_nll(request_of(factors));
    };
    const double none = score(longrope::genome::unscaled_factors(facts));
    const double linear = score(longrope::genome::linear_factors(facts, target));
    const double ntk = score(longrope::genome::ntk_factors(facts, target));
    const double yarn = score(longrope::genome::yarn_factors(facts, target));
    const double best = score(landscape.optimum(0, target));
    INFO("none ", none, " PI ", linear, " NTK ", ntk, " YaRN ", yarn, " optimum ", best);
    CHECK(none > linear);
    CHECK(linear > ntk);
    CHECK(ntk > yarn);
    CHECK(yarn > best);
}

TEST_CASE("documents differ in level and a little in their optimum") {
    const Landscape landscape{SyntheticSettings{}};
    CHECK(landscape.optimum(0, target) != landscape.optimum(1, target));
    EvaluationRequest request = request_of(landscape.optimum(0, target));
    const double first = landscape.mean_nll(request);
    request.document = 1;
    CHECK(landscape.mean_nll(request) != first);
}

TEST_CASE("each of the three splits has as many documents as are asked for, and no more") {
    const Landscape landscape{SyntheticSettings{.documents = 2}};
    CHECK(landscape.documents() == 6);
    CHECK_NOTHROW(static_cast<void>(landscape.optimum(5, target)));
    CHECK_THROWS_AS(static_cast<void>(landscape.optimum(6, target)), EvaluatorError);
}

TEST_CASE("requests that mean the same function have the same value") {
    const Landscape landscape{SyntheticSettings{}};
    const auto score = [&](std::vector<double> factors, std::uint32_t start_tokens) {
        EvaluationRequest request = request_of(std::move(factors));
        request.start_tokens = start_tokens;
        return landscape.mean_nll(request);
    };
    const std::vector<double> ones(16, 1.0);
    const std::vector<double> best = landscape.optimum(0, target);
    CHECK(score(best, 0) == score(best, 1));
    CHECK(score(best, 4) < score(best, 1));
    CHECK(score(best, 4) < score(best, 64));
    CHECK(score(ones, 0) == score(ones, 64));
    CHECK(score(best, target) == score(ones, 0));
}

TEST_CASE("the attention scale has its optimum at LongRoPE's rule") {
    const Landscape landscape{SyntheticSettings{}};
    EvaluationRequest request = request_of(landscape.optimum(0, target));
    const double best = landscape.mean_nll(request);
    for (const double change : {0.95, 1.05}) {
        EvaluationRequest other = request;
        other.attention_scale *= change;
        CHECK(landscape.mean_nll(other) > best);
    }
}

TEST_CASE("a request that does not fit the landscape is refused") {
    const Landscape landscape{SyntheticSettings{}};
    const auto refused = [&](auto change, const char* message) {
        EvaluationRequest request = request_of(std::vector<double>(16, 1.0));
        change(request);
        CHECK_THROWS_WITH_AS(static_cast<void>(landscape.mean_nll(request)),
                             doctest::Contains(message), EvaluatorError);
    };
    refused([](auto& r) { r.factors.pop_back(); }, "15 rescale factors, expected 16");
    refused([](auto& r) { r.factors[3] = 0.0; }, "rescale factor 0 at index 3");
    refused([](auto& r) { r.factors[3] = std::nan(""); }, "rescale factor nan at index 3");
    refused([](auto& r) { r.attention_scale = -1.0; }, "attention scale -1");
    refused([](auto& r) { r.positions = 1; }, "1 positions, expected at least 2");
    refused([](auto& r) { r.document = 24; }, "document 24 does not exist, expected 0 to 23");
}

TEST_CASE("settings of the landscape out of range are refused, naming them") {
    const auto refused = [](const SyntheticSettings& settings, const char* message) {
        CHECK_THROWS_WITH_AS(Landscape{settings}, doctest::Contains(message), EvaluatorError);
    };
    refused({.dimensions = 0}, "evaluator.synthetic.dimensions = 0");
    refused({.theta = 1.0}, "evaluator.synthetic.theta = 1");
    refused({.theta = std::numeric_limits<double>::infinity()}, "theta = inf");
    refused({.original_window = 4}, "evaluator.synthetic.original_window = 4");
    refused({.documents = 0}, "evaluator.synthetic.documents = 0");
}

TEST_CASE("digests follow what defines the landscape, not duration and faults") {
    const Landscape plain{SyntheticSettings{}};
    const Landscape slow{{.duration_ms = 5.0, .fault = "crash", .fault_every = 3}};
    CHECK(slow.model_digest() == plain.model_digest());
    CHECK(slow.documents_digest() == plain.documents_digest());
    CHECK(Landscape{{.dimensions = 8}}.model_digest() != plain.model_digest());
    CHECK(Landscape{{.theta = 5e5}}.model_digest() != plain.model_digest());
    CHECK(Landscape{{.original_window = 512}}.model_digest() != plain.model_digest());
    CHECK(Landscape{{.documents = 9}}.documents_digest() != plain.documents_digest());
}
