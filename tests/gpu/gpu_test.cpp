// SPDX-License-Identifier: Apache-2.0
// The GPU backend on a GPU, through the module that the program loads.
#include <doctest/doctest.h>

#include <limits>

#include "evaluator/cuda/memory_plan.hpp"
#include "evaluator/evaluator.hpp"
#include "tests/evaluator/backend_runs.hpp"
#include "tests/gpu/attention_row.hpp"
#include "tests/gpu/gpu_backend.hpp"
#include "tests/gpu/gpu_limits.hpp"

using namespace longrope::evaluator;
using namespace longrope::tests;

namespace {

/// A backend, or one line that says why the test is skipped.
GpuBackend gpu_or_skip() {
    GpuBackend gpu = gpu_backend();
    if (gpu.module == nullptr) MESSAGE("skipped: no GPU: " << gpu.reason);
    return gpu;
}

std::unique_ptr<DeviceOps> open(const GpuBackend& gpu, const ModelConfig& config,
                                std::uint64_t longest, std::uint64_t memory_limit = 0) {
    return gpu.module
        ->open({.device = gpu.device,
                .model = config,
                .longest = longest,
                .memory_limit = memory_limit})
        .ops;
}

/// Bytes with which the weights must be streamed, and everything else still fits.
std::uint64_t bytes_to_stream_with(const ModelConfig& config, std::uint64_t positions) {
    return cuda::plan_memory(config, positions, {.total = 0}).device_bytes();
}

/// More than a chunk of rows, a tile of logits in both directions and a block of queries.
constexpr std::int64_t several_tiles = 9000;

RandomModel model_of_several_tiles() {
    return {.hidden = 128,
            .layers = 6,
            .heads = 4,
            .kv_heads = 2,
            .head_dim = 64,
            .intermediate = 256,
            .vocabulary = several_tiles};
}

/// Shapes that cuDNN serves: heads of a multiple of 8 components.
std::vector<RandomModel> models() {
    return {
        {.hidden = 64, .heads = 4, .kv_heads = 4, .head_dim = 16, .intermediate = 96},
        {.hidden = 64, .heads = 8, .kv_heads = 2, .head_dim = 32, .vocabulary = 1000},
        {.model_type = "qwen3", .attention_bias = true, .hidden = 128, .heads = 4, .head_dim = 128},
        {.model_type = "phi3", .hidden = 64, .head_dim = 64, .partial_rotary_factor = 0.75},
        {.model_type = "qwen2",
         .hidden = 72,
         .heads = 9,
         .kv_heads = 9,
         .head_dim = 64,
         .intermediate = 200,
         .vocabulary = 333,
         .tied_embeddings = false},
    };
}

ModelConfig llama_sized() {
    ModelConfig config;
    config.architecture = "LlamaForCausalLM";
    config.hidden_size = 4096;
    config.layers = 32;
    config.heads = config.kv_heads = 32;
    config.head_dim = config.rotary_dim = 128;
    config.intermediate_size = 11008;
    config.vocabulary = 32000;
    return config;
}

}  // namespace

TEST_CASE("opening a device that is not there is an error like any other of an evaluator") {
    const cuda::LoadedModule loaded = cuda::load_module(cuda::module_file());
    if (loaded.module == nullptr) {
        MESSAGE("skipped: no GPU backend: " << loaded.reason);
        return;
    }
    const cuda::ProbeResult probe = loaded.module->probe();
    CHECK(probe.reason.empty() != probe.devices.empty());
    CHECK(probe.runtime_version >= 12000);
    const auto devices = static_cast<int>(probe.devices.size());
    // What the module throws is caught here, on the other side of dlopen().
    CHECK_THROWS_WITH_AS(
        (void)loaded.module->open({.device = devices, .model = llama_sized(), .longest = 4096}),
        doctest::Contains("CUDA device"), EvaluatorError);
}

TEST_CASE("the probe names each device, its memory and who it is") {
    const GpuBackend gpu = gpu_or_skip();
    if (gpu.module == nullptr) return;
    for (std::size_t i = 0; i < gpu.probe.devices.size(); ++i) {
        const cuda::DeviceFacts& facts = gpu.probe.devices[i];
        INFO(facts.name);
        CHECK_FALSE(facts.name.empty());
        CHECK(facts.uuid.starts_with("GPU-"));
        CHECK(facts.uuid.size() == 40);
        CHECK(facts.architecture.starts_with("sm_"));
        CHECK(gpu.module->free_bytes(static_cast<int>(i)) <= facts.total_bytes);
    }
}

TEST_CASE("the forward pass computes what the reference defines in bf16") {
    const GpuBackend gpu = gpu_or_skip();
    if (gpu.module == nullptr) return;
    for (const RandomModel& example : models()) {
        INFO(example.model_type, ", heads of ", example.head_dim);
        const TemporaryFolder folder;
        example.write(folder);
        const ModelFolder model{folder.path()};
        for (const std::int64_t positions : {2, 127, 128, 700}) {
            INFO(positions, " positions");
            const auto tokens = example.tokens(positions);
            const RunSettings run{example.factors(), 4, 1.1};
            const auto exact =
                token_nll(model, *reference::make_reference_ops(Precision::f32), tokens, run);
            const auto rounded =
                token_nll(model, *reference::make_reference_ops(Precision::bf16), tokens, run);
            const auto ops = open(gpu, model.config(), static_cast<std::uint64_t>(positions));
            const auto found = token_nll(model, *ops, tokens, run);
            // cuDNN rounds the probabilities too, so that the two differ by roundings of the same
            // size as bfloat16 and float32 do; a wrong mask, rotation or layout leaves 0.1 and
            // more.
            // Of a single loss, that size is left to chance.
            const double spare = positions == 2 ? 5e-3 : 1e-3;
            CHECK(root_mean_square(found, rounded) < root_mean_square(rounded, exact) + spare);
            CHECK(token_nll(model, *ops, tokens, run) == found);
        }
    }
}

TEST_CASE("weights that are streamed layer by layer give the bits of resident ones") {
    const GpuBackend gpu = gpu_or_skip();
    if (gpu.module == nullptr) return;
    const RandomModel example = model_of_several_tiles();
    const TemporaryFolder folder;
    example.write(folder);
    const ModelFolder model{folder.path()};
    const auto positions = static_cast<std::uint64_t>(several_tiles);
    const std::uint64_t limit = bytes_to_stream_with(model.config(), positions);
    using cuda::WeightPlacement;
    REQUIRE(cuda::plan_memory(model.config(), positions, {limit}).fits());
    REQUIRE(cuda::plan_memory(model.config(), positions, {limit}).placement ==
            WeightPlacement::streamed);
    const RunSettings run{example.factors(), 4, 1.1};
    const auto resident = open(gpu, model.config(), positions);
    const auto streamed = open(gpu, model.config(), positions, limit);
    for (const std::int64_t length : {several_tiles, std::int64_t{100}, several_tiles}) {
        INFO(length, " positions");
        const auto tokens = example.tokens(length);
        CHECK(token_nll(model, *streamed, tokens, run) == token_nll(model, *resident, tokens, run));
    }
}

TEST_CASE("a document of several chunks, with several tiles of logits, is what the CPU computes") {
    const GpuBackend gpu = gpu_or_skip();
    if (gpu.module == nullptr) return;
    const RandomModel example = model_of_several_tiles();
    const TemporaryFolder folder;
    example.write(folder);
    const ModelFolder model{folder.path()};
    const RunSettings run{example.factors(), 4, 1.1};
    const auto tokens = example.tokens(several_tiles);
    const auto exact = token_nll(model, *cpu_ops(2), tokens, run);
    const auto ops = open(gpu, model.config(), static_cast<std::uint64_t>(several_tiles));
    const auto found = token_nll(model, *ops, tokens, run);
    // What bfloat16 alone leaves is seen on the first rows, which the reference can afford.
    const auto head = std::vector(tokens.begin(), tokens.begin() + 700);
    const auto rounded =
        token_nll(model, *reference::make_reference_ops(Precision::bf16), head, run);
    const auto exact_head = std::vector(exact.begin(), exact.begin() + 699);
    const double rounding = root_mean_square(rounded, exact_head);
    for (const std::size_t first : {std::size_t{0}, std::size_t{4000}, std::size_t{8100}}) {
        INFO("from position ", first);
        const auto part = [first](const std::vector<float>& losses) {
            const auto begin = losses.begin() + static_cast<std::ptrdiff_t>(first);
            return std::vector(begin, begin + 699);
        };
        CHECK(root_mean_square(part(found), part(exact)) < 2 * rounding + 1e-3);
    }
}

TEST_CASE("a row at the end of a long document sees every segment of keys") {
    const GpuBackend gpu = gpu_or_skip();
    if (gpu.module == nullptr) return;
    ModelConfig config = llama_sized();
    config.layers = 1;
    config.heads = 8;
    config.kv_heads = 2;
    for (const std::int64_t positions : {1000, 200'000}) {
        INFO(positions, " positions");
        const auto ops = open(gpu, config, static_cast<std::uint64_t>(positions));
        const AttentionRowResult row = check_attention_row(*ops, {.positions = positions});
        CHECK(row.largest_error < attention_row_tolerance);
    }
}

TEST_CASE("what does not fit is refused with the bytes needed and had") {
    const GpuBackend gpu = gpu_or_skip();
    if (gpu.module == nullptr) return;
    CHECK_THROWS_WITH_AS((void)open(gpu, llama_sized(), 100'000'000), doctest::Contains("bytes"),
                         EvaluatorError);
    // And leaves the device as it was.
    CHECK_NOTHROW((void)open(gpu, llama_sized(), 4096));
}
