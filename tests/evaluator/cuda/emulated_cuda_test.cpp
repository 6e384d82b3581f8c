// SPDX-License-Identifier: Apache-2.0
// The whole forward pass of the CUDA backend, its kernels on the emulator, against the reference.
//
// Tolerance. Both round to bfloat16 at the same places but two: the reference rounds a query with
// its scale and the backend without, and the backend rounds the output of each segment of keys
// besides the merged one. So they are two samples of the same rounding: each is as far from float32
// as the other, and they are closer to each other than to it, since most of their roundings are the
// same. A wrong rotation, mask, merge or bias is a hundred times further off.
#include <doctest/doctest.h>

#include "evaluator/documents.hpp"
#include "tests/evaluator/backend_runs.hpp"
#include "tests/evaluator/parity_fixture.hpp"
#include "tests/evaluator/transformer_cases.hpp"

namespace longrope::evaluator {
namespace {

using cuda::TilePlan;
using tests::Case;
using tests::RandomModel;
using tests::root_mean_square;
using tests::RunSettings;
using tests::TemporaryFolder;
using tests::token_nll;
using tests::cuda_emulator::emulated_ops;
using tests::cuda_emulator::EmulatorSettings;
using tests::cuda_emulator::small_tiles;

std::vector<float> reference_nll(const ModelFolder& model, Precision precision,
                                 const std::vector<std::int32_t>& tokens, const RunSettings& run) {
    return token_nll(model, *reference::make_reference_ops(precision), tokens, run);
}

std::vector<float> emulated_nll(const ModelFolder& model, const std::vector<std::int32_t>& tokens,
                                const RunSettings& run, const TilePlan& tiles = small_tiles,
                                const EmulatorSettings& settings = {}) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    return token_nll(model, *emulated_ops(model.config(), positions, tiles, settings), tokens, run);
}

TEST_CASE(
    "the emulated cuda backend computes what the reference defines, in two orders of threads") {
    for (const Case& example : tests::transformer_cases()) {
        const TemporaryFolder folder;
        example.model.write(folder);
        const ModelFolder model{folder.path()};
        const auto tokens = example.model.tokens(example.positions);
        const RunSettings run{example.model.factors(), example.start_tokens,
                              example.attention_scale};
        const auto exact = reference_nll(model, Precision::f32, tokens, run);
        const auto rounded = reference_nll(model, Precision::bf16, tokens, run);
        const auto found = emulated_nll(model, tokens, run);
        const double rounding = root_mean_square(rounded, exact);
        INFO(example.name, ": bf16 moves a loss by ", rounding, ", the backends differ by ",
             root_mean_square(found, rounded), ", the emulated one moves it by ",
             root_mean_square(found, exact));
        CHECK(root_mean_square(found, rounded) < 0.75 * rounding);
        CHECK(root_mean_square(found, exact) < 1.25 * rounding);
        CHECK(emulated_nll(model, tokens, run, small_tiles, {.shuffle = 1}) == found);
    }
}

TEST_CASE("the emulated cuda backend's bits depend neither on chunks nor on head groups") {
    const TemporaryFolder folder;
    RandomModel shape = tests::many_tiles();
    shape.kv_heads = 4;
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 8, 1.1};
    const auto tokens = shape.tokens(600);
    const auto expected = emulated_nll(model, tokens, run);
    for (const std::int64_t chunk_rows : {128, 384, 1024}) {
        for (const std::int64_t group : {2, 4}) {
            TilePlan tiles = small_tiles;
            tiles.chunk_rows = chunk_rows;
            tiles.kv_heads_per_group = group;
            tiles.loss_rows = chunk_rows / 2 + group;
            INFO(tiles.text());
            CHECK(emulated_nll(model, tokens, run, tiles) == expected);
        }
    }
}

TEST_CASE("the emulated cuda backend merges segments to the same attention") {
    // The output of a segment is rounded once more than that of attention in one piece.
    const TemporaryFolder folder;
    const RandomModel shape = tests::many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors(), 8, 1.1};
    const auto tokens = shape.tokens(600);
    const double rounding = root_mean_square(reference_nll(model, Precision::bf16, tokens, run),
                                             reference_nll(model, Precision::f32, tokens, run));
    const auto whole = emulated_nll(
        model, tokens, run,
        {.chunk_rows = 768, .attention_rows = 768, .segment_keys = 768, .kv_heads_per_group = 8});
    for (const std::int64_t segment_keys : {128, 256, 512}) {
        TilePlan tiles = small_tiles;
        tiles.segment_keys = segment_keys;
        const double difference = root_mean_square(emulated_nll(model, tokens, run, tiles), whole);
        INFO(tiles.text(), ": ", difference, " of ", rounding);
        CHECK(difference > 0.0);
        CHECK(difference < 0.75 * rounding);
    }
}

TEST_CASE("the emulated cuda backend's bits are the same in every run on the same evaluator") {
    const TemporaryFolder folder;
    const RandomModel shape = tests::many_tiles();
    shape.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{shape.factors()};
    const auto ops = emulated_ops(model.config(), 600);
    const auto expected = token_nll(model, *ops, shape.tokens(300), run);
    static_cast<void>(token_nll(model, *ops, shape.tokens(600), run));  // leaves its values behind
    static_cast<void>(token_nll(model, *ops, shape.tokens(130), run));
    CHECK(token_nll(model, *ops, shape.tokens(300), run) == expected);
}

TEST_CASE(
    "the emulated cuda backend is as close to transformers' losses as bf16 in the reference") {
    double sum_found = 0.0;  // of squares over all models
    double sum_reference = 0.0;
    for (const tests::RecordedModel& recorded : tests::recorded_models()) {
        const ModelFolder model{recorded.model};
        Documents documents{recorded.documents};
        for (const tests::RecordedMethod& method : recorded.methods) {
            if (method.name != (recorded.name == "demo" ? "yarn" : "custom")) continue;
            const std::uint64_t positions = std::min<std::uint64_t>(method.positions, 200);
            const auto tokens = documents.input(0, positions);
            const RunSettings run{method.factors, method.start_tokens, method.attention_scale};
            std::vector<float> theirs = method.token_nll[0];
            theirs.resize(positions - 1);
            const double rounding =
                root_mean_square(reference_nll(model, Precision::bf16, tokens, run), theirs);
            const double found = root_mean_square(emulated_nll(model, tokens, run), theirs);
            INFO(recorded.name, ", ", method.name, ": ", found, ", reference ", rounding);
            CHECK(found < 1.5 * rounding);  // few tokens, some of which decide
            sum_found += found * found;
            sum_reference += rounding * rounding;
        }
    }
    INFO("all models: ", std::sqrt(sum_found), ", reference ", std::sqrt(sum_reference));
    CHECK(sum_reference > 0.0);
    CHECK(std::sqrt(sum_found) < 1.25 * std::sqrt(sum_reference));
}

}  // namespace
}  // namespace longrope::evaluator
