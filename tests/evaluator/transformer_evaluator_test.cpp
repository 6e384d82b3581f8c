// SPDX-License-Identifier: Apache-2.0
#include "evaluator/transformer_evaluator.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <numeric>

#include "tests/evaluator/documents_builder.hpp"
#include "tests/evaluator/random_model.hpp"

namespace longrope::evaluator {
namespace {

using tests::DocumentsBuilder;
using tests::RandomModel;
using tests::TemporaryFolder;

/// A model and documents of 40 and 20 tokens, to which a BOS is added.
struct Inputs {
    TemporaryFolder folder;
    RandomModel model;

    Inputs() {
        model.write(folder);
        DocumentsBuilder documents;
        documents.tokens = model.tokens(60);
        documents.offsets = {0, 40, 60};
        documents.titles = {"long", "short"};
        documents.splits = {0, 1};
        documents.write(folder.path() / "documents.h5");
    }
    [[nodiscard]] EvaluatorSettings settings(const std::string& backend) const {
        return {.backend = backend,
                .model_path = folder.path().string(),
                .documents_path = (folder.path() / "documents.h5").string(),
                .isa = tests::tested_isa()};
    }
};

TEST_CASE("the sum adds the losses of all tokens in order, in double") {
    const Inputs inputs;
    for (const char* backend : {"cpu", "reference"}) {
        const auto evaluator = make_transformer_evaluator(inputs.settings(backend));
        const EvaluationRequest request{.factors = inputs.model.factors(),
                                        .start_tokens = 2,
                                        .attention_scale = 1.1,
                                        .positions = 41,
                                        .document = 0,
                                        .per_token = true};
        const EvaluationResult result = evaluator->evaluate(request);
        CHECK(result.scored_tokens == 40);
        CHECK(result.token_nll.size() == 40);
        CHECK(result.sum_nll ==
              std::accumulate(result.token_nll.begin(), result.token_nll.end(), 0.0));
        EvaluationRequest sum_only = request;
        sum_only.per_token = false;
        const EvaluationResult sum = evaluator->evaluate(sum_only);
        CHECK(sum.sum_nll == result.sum_nll);
        CHECK(sum.token_nll.empty());
    }
}

TEST_CASE("a window scores its last tokens as a document that begins there would") {
    const Inputs inputs;
    DocumentsBuilder rest;  // what is left of the long document after 15 tokens
    rest.tokens = inputs.model.tokens(60);
    rest.tokens = {rest.tokens.begin() + 15, rest.tokens.begin() + 40};
    rest.offsets = {0, 25};
    rest.titles = {"rest"};
    rest.splits = {0};
    rest.write(inputs.folder.path() / "rest.h5");
    for (const char* backend : {"cpu", "reference"}) {
        INFO(backend);
        const auto evaluator = make_transformer_evaluator(inputs.settings(backend));
        EvaluatorSettings other = inputs.settings(backend);
        other.documents_path = (inputs.folder.path() / "rest.h5").string();
        EvaluationRequest request{
            .factors = inputs.model.factors(), .positions = 21, .per_token = true};
        const EvaluationResult whole = make_transformer_evaluator(other)->evaluate(request);
        request.offset = 15;
        for (const std::uint64_t scored : {1U, 7U, 20U}) {
            request.scored = scored;
            const EvaluationResult window = evaluator->evaluate(request);
            CHECK(window.scored_tokens == scored);
            const std::vector<float> tail{
                whole.token_nll.end() - static_cast<std::ptrdiff_t>(scored), whole.token_nll.end()};
            CHECK(window.token_nll == tail);
            CHECK(window.sum_nll == std::accumulate(tail.begin(), tail.end(), 0.0));
        }
    }
}

TEST_CASE("the identity names model, documents and everything that decides bits") {
    const Inputs inputs;
    const auto reference = make_transformer_evaluator(inputs.settings("reference"));
    CHECK(reference->identity().numerics_class == "reference-2;precision=f32;angles=double");
    CHECK(reference->identity().model_digest.size() == 64);
    CHECK(reference->identity().documents_digest.size() == 64);
    CHECK(reference->identity().memory_bytes > 0);

    const auto cpu = make_transformer_evaluator(inputs.settings("cpu"));
    const std::string& found = cpu->identity().numerics_class;
    INFO(found);
    CHECK(found.starts_with("cpu-"));
    CHECK(found.find(";isa=") != std::string::npos);
    CHECK(found.find(";onednn=") != std::string::npos);
    CHECK(found.ends_with(";precision=f32;tile=128;angles=double"));
    const auto automatic = make_transformer_evaluator(inputs.settings("auto"));
    CHECK(automatic->identity().numerics_class == found);
}

TEST_CASE("what cannot be evaluated is refused with what would be accepted") {
    const Inputs inputs;
    const auto evaluator = make_transformer_evaluator(inputs.settings("cpu"));
    const auto refused = [&](const EvaluationRequest& request, const char* words) {
        CHECK_THROWS_WITH_AS(static_cast<void>(evaluator->evaluate(request)),
                             doctest::Contains(words), EvaluatorError);
    };
    const EvaluationRequest good{.factors = inputs.model.factors(), .positions = 10};
    EvaluationRequest request = good;
    request.document = 2;
    refused(request, "document 2 was asked for, but the documents file has 2 (0 to 1)");
    request = good;
    request.factors.pop_back();
    refused(request, "5 rescale factors");
    request = good;
    request.positions = 42;
    refused(request, "41");
    request = good;
    request.positions = 1;
    refused(request, "at least 2");
    request = good;
    request.scored = 10;
    refused(request, "10 tokens of 10 positions are to be scored, expected at most 9");
    request = good;
    request.offset = 32;
    refused(request, "fills 41 positions, but 10 are asked for after 32 tokens");
    request.offset = UINT64_MAX;
    refused(request, "are asked for after");
    CHECK(evaluator->evaluate(good).scored_tokens == 9);
}

TEST_CASE("an evaluator streams its weights where the settings say so") {
    const Inputs inputs;
    EvaluatorSettings settings = inputs.settings("cpu");
    const auto resident = make_transformer_evaluator(settings)->identity().memory_bytes;
    settings.weights = "streamed";
    const auto streamed = make_transformer_evaluator(settings)->identity().memory_bytes;
    CHECK(streamed == sizeof(float) * static_cast<std::uint64_t>(inputs.model.hidden));  // a norm
    CHECK(resident > 10 * streamed);
}

TEST_CASE("a model that is overwritten gives an error, not the losses of two models") {
    for (const char* weights : {"resident", "streamed"}) {
        INFO(weights);
        const Inputs inputs;
        const auto file = inputs.folder.path() / "model.safetensors";
        std::filesystem::last_write_time(
            file, std::filesystem::last_write_time(file) - std::chrono::hours{1});
        EvaluatorSettings settings = inputs.settings("cpu");
        settings.weights = weights;
        const auto evaluator = make_transformer_evaluator(settings);
        const EvaluationRequest request{.factors = inputs.model.factors(), .positions = 10};
        CHECK(evaluator->evaluate(request).scored_tokens == 9);
        RandomModel other = inputs.model;
        other.doubled = "model.norm.weight";
        other.write(inputs.folder);
        CHECK_THROWS_WITH_AS(static_cast<void>(evaluator->evaluate(request)),
                             doctest::Contains("was written to while"), EvaluatorError);
    }
}

TEST_CASE("a vocabulary too small for the documents is refused") {
    const Inputs inputs;
    RandomModel small = inputs.model;
    small.vocabulary = 50;
    small.write(inputs.folder);
    CHECK_THROWS_AS(static_cast<void>(make_transformer_evaluator(inputs.settings("cpu"))),
                    EvaluatorError);
}

TEST_CASE("settings that no backend serves are refused") {
    const Inputs inputs;
    const auto refused = [](const EvaluatorSettings& settings, const char* words) {
        CHECK_THROWS_WITH_AS(static_cast<void>(make_transformer_evaluator(settings)),
                             doctest::Contains(words), EvaluatorError);
    };
    EvaluatorSettings settings = inputs.settings("cpu");
    settings.precision = "f64";
    refused(settings, "\"f32\" or \"bf16\"");
    settings = inputs.settings("tpu");
    refused(settings, "\"auto\", \"cuda\", \"cpu\" or \"reference\"");
    settings = inputs.settings("cpu");
    settings.threads = 0;
    refused(settings, "at least 1 thread");
}

}  // namespace
}  // namespace longrope::evaluator
