// SPDX-License-Identifier: Apache-2.0
// Our losses against those of Hugging Face transformers, token by token.
//
// Theirs are float32 throughout with angles rounded to float32. The same pass in float64 differs
// from them by some 3e-4 nats per token (tests/fixtures/parity/README.md), hence the tolerance
// of 2e-3 per token; such errors have no common sign, hence 1e-5 for the mean.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/architecture.hpp"
#include "evaluator/model/model_config.hpp"
#include "evaluator/model/rope_scaling.hpp"
#include "evaluator/transformer_evaluator.hpp"
#include "tests/evaluator/backend_runs.hpp"
#include "tests/evaluator/parity_fixture.hpp"

namespace longrope::evaluator {
namespace {

using tests::largest_difference;
using tests::RecordedMethod;
using tests::RecordedModel;

constexpr double tolerance = 2e-3;       // nats, for each token
constexpr double mean_tolerance = 1e-5;  // relative

std::unique_ptr<Evaluator> open(const RecordedModel& recorded, const std::string& backend,
                                const std::string& angles = "double") {
    return make_transformer_evaluator({.backend = backend,
                                       .model_path = recorded.model.string(),
                                       .documents_path = recorded.documents.string(),
                                       .isa = tests::tested_isa(),
                                       .angles = angles});
}

std::vector<float> losses(Evaluator& evaluator, const RecordedMethod& method,
                          std::uint32_t document, std::uint64_t positions) {
    return evaluator
        .evaluate({.factors = method.factors,
                   .start_tokens = method.start_tokens,
                   .attention_scale = method.attention_scale,
                   .positions = positions,
                   .document = document,
                   .per_token = true})
        .token_nll;
}

double mean(const std::vector<float>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// @param limit  positions evaluated at most: a prefix must agree with the whole's prefix
void check_parity(const std::string& backend, std::uint64_t limit) {
    for (const RecordedModel& recorded : tests::recorded_models()) {
        const auto evaluator = open(recorded, backend);
        for (const RecordedMethod& method : recorded.methods) {
            const std::uint64_t positions = std::min(limit, method.positions);
            for (std::uint32_t i = 0; i < method.token_nll.size(); ++i) {
                INFO(recorded.name, ", method ", method.name, ", document ", i);
                std::vector<float> theirs = method.token_nll[i];
                theirs.resize(positions - 1);
                const std::vector<float> ours = losses(*evaluator, method, i, positions);
                CHECK(largest_difference(ours, theirs) <= tolerance);
                CHECK(std::abs(mean(ours) - mean(theirs)) <= mean_tolerance * mean(theirs));
            }
        }
    }
}

TEST_CASE("the cpu backend agrees with transformers on every token") {
    check_parity("cpu", UINT64_MAX);
}

TEST_CASE("the reference agrees with transformers on every token") {
    check_parity("reference", 400);  // plain loops: a longer prefix takes the demo minutes
}

TEST_CASE("every architecture, head dimension and form of a model folder is recorded") {
    std::set<std::string> architectures;
    std::set<std::uint32_t> head_dims;
    std::set<std::string> forms;
    for (const RecordedModel& recorded : tests::recorded_models()) {
        const ModelConfig config = read_model_config(recorded.model);
        architectures.insert(config.architecture);
        head_dims.insert(config.head_dim);
        if (config.kv_heads < config.heads) forms.insert("grouped queries");
        if (config.rotary_dim < config.head_dim) forms.insert("partial rotary");
        if (!config.tied_embeddings) forms.insert("untied head");
        if (std::filesystem::exists(recorded.model / "model.safetensors.index.json")) {
            forms.insert("sharded");
        }
    }
    for (const Architecture& known : evaluator::architectures()) {
        CHECK(architectures.contains(std::string{known.name}));
    }
    for (const std::uint32_t head_dim : {64U, 96U, 128U}) CHECK(head_dims.contains(head_dim));
    for (const char* form : {"grouped queries", "partial rotary", "untied head", "sharded"}) {
        CHECK_MESSAGE(forms.contains(form), form);
    }
}

TEST_CASE("a folder's own scaling gives transformers' losses on every token") {
    std::set<std::string> types;
    for (const RecordedModel& recorded : tests::recorded_models()) {
        for (RecordedMethod method : recorded.methods) {
            if (method.name != "model") continue;
            INFO(recorded.name);
            const ModelConfig config = read_model_config(recorded.model);
            const ScaledRotation rotation = scaled_rotation(
                read_rope_scaling(recorded.model, config), config, method.positions);
            types.insert(config.rope_scaling_type);
            method.factors = rotation.factors;
            method.attention_scale = rotation.attention_scale;
            for (const char* backend : {"cpu", "reference"}) {
                const auto evaluator = open(recorded, backend);
                for (std::uint32_t i = 0; i < method.token_nll.size(); ++i) {
                    const auto ours = losses(*evaluator, method, i, method.positions);
                    CHECK(largest_difference(ours, method.token_nll[i]) <= tolerance);
                }
            }
        }
    }
    CHECK(types == std::set<std::string>{"llama3", "longrope", "yarn"});
}

TEST_CASE("with angles rounded to float32 only the order of sums is left") {
    // Method none: for others transformers forms the frequencies in another order than we do. Sums
    // of a hundred terms in another order move a loss of 10 nats by up to 1.3e-4.
    for (const RecordedModel& recorded : tests::recorded_models()) {
        const auto evaluator = open(recorded, "cpu", "float32");
        for (const RecordedMethod& method : recorded.methods) {
            if (method.name != "none") continue;
            INFO(recorded.name);
            const std::vector<float> ours = losses(*evaluator, method, 0, method.positions);
            CHECK(largest_difference(ours, method.token_nll[0]) <= 2e-4);
        }
    }
}

/// What a program may do wrong with a method; each must show. The mistakes are those for which
/// scripts/record_parity_fixtures.py refuses a fixture that hides them.
struct Mistake {
    std::string name;
    RecordedMethod method;
};

std::vector<Mistake> mistakes_with(const RecordedMethod& right) {
    std::vector<Mistake> mistakes;
    const auto add = [&](const std::string& name) -> RecordedMethod& {
        return mistakes.emplace_back(Mistake{name, right}).method;
    };
    for (double& factor : add("factors 10 % larger").factors) factor *= 1.1;
    if (right.factors.front() != right.factors.back()) {
        std::vector<double>& moved = add("factors moved by one pair").factors;
        std::ranges::rotate(moved, moved.end() - 1);
    }
    if (right.attention_scale != 1.0) {
        add("attention scale left out").attention_scale = 1.0;
        add("attention scale squared").attention_scale *= right.attention_scale;
    }
    if (right.start_tokens > 0) {
        add("no start tokens").start_tokens = 0;
        ++add("a start token more").start_tokens;
    }
    return mistakes;
}

TEST_CASE("each mistake leaves transformers' losses by at least fifty times the tolerance") {
    std::set<std::string> made;
    for (const RecordedModel& recorded : tests::recorded_models()) {
        const auto evaluator = open(recorded, "cpu");
        for (const RecordedMethod& right : recorded.methods) {
            for (const Mistake& mistake : mistakes_with(right)) {
                INFO(recorded.name, ", method ", right.name, ", ", mistake.name);
                double moved = 0.0;
                for (std::uint32_t i = 0; i < right.token_nll.size(); ++i) {
                    const auto ours = losses(*evaluator, mistake.method, i, right.positions);
                    moved = std::max(moved, largest_difference(ours, right.token_nll[i]));
                    if (moved >= 50.0 * tolerance) break;
                }
                CHECK(moved >= 50.0 * tolerance);
                made.insert(mistake.name);
            }
        }
    }
    CHECK(made.size() == 6);
}

}  // namespace
}  // namespace longrope::evaluator
