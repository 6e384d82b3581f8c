// SPDX-License-Identifier: Apache-2.0
// The CUDA backend's host code: memory, streams, refusals. What it computes is tested in
// tests/evaluator/cuda, beside the other backends.
#include "evaluator/cuda/cuda_ops.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/rotary_table.hpp"
#include "evaluator/transformer.hpp"
#include "tests/cuda_emulator/emulated_device.hpp"
#include "tests/evaluator/random_model.hpp"

namespace longrope::tests::cuda_emulator {
namespace {

using namespace evaluator;
using evaluator::cuda::CudaSettings;
using evaluator::cuda::MemoryPlan;
using evaluator::cuda::plan_memory;

constexpr std::int64_t positions = 420;

/// Four layers, so that two of them on the device are fewer than all.
RandomModel four_layers() {
    return {.model_type = "qwen2", .layers = 4, .tied_embeddings = false};
}

struct Model {
    TemporaryFolder folder;
    RandomModel shape;
    std::unique_ptr<ModelFolder> model;

    explicit Model(RandomModel from) : shape{std::move(from)} {
        shape.write(folder);
        model = std::make_unique<ModelFolder>(folder.path());
    }
    [[nodiscard]] const ModelConfig& config() const { return model->config(); }
    [[nodiscard]] std::vector<float> run(Transformer& transformer,
                                         std::int64_t count = positions) const {
        const auto factors = shape.factors();
        const RotaryTable rotary{
            {.theta = config().rope_theta, .rotary_dim = config().rotary_dim, .factors = factors},
            count};
        return transformer.token_nll(shape.tokens(count), rotary);
    }
    [[nodiscard]] std::vector<float> run(DeviceOps& ops, std::int64_t count = positions) const {
        Transformer transformer{*model, ops};
        return run(transformer, count);
    }
};

CudaSettings settings_for(std::int64_t longest) {
    return {.longest_positions = static_cast<std::uint64_t>(longest), .tiles = small_tiles};
}

/// Memory that holds the document with streamed weights and not with resident ones.
std::uint64_t scarce_memory(const ModelConfig& config) {
    const MemoryPlan plan = plan_memory(config, positions, {std::uint64_t{1} << 40U}, small_tiles);
    return plan.device_bytes() - plan.layer_bytes;
}

TEST_CASE("cuda ops: streamed weights give the bits of resident ones, however copies are timed") {
    const Model model{four_layers()};
    const auto expected = model.run(*emulated_ops(model.config(), positions));
    for (const bool copies_first : {false, true}) {
        EmulatedDevice emulated = make_emulated_device(
            {.copies_first = copies_first, .memory_bytes = scarce_memory(model.config())});
        Emulator& emulator = *emulated.emulator;
        const auto ops =
            make_cuda_ops(std::move(emulated.device), model.config(), settings_for(positions));
        Transformer transformer{*model.model, *ops};
        CHECK(model.run(transformer) == expected);
        CHECK(emulator.peak_pinned_bytes() > 0);
        CHECK(model.run(transformer) == expected);  // the last layers are still in the buffers
    }
}

TEST_CASE("cuda ops: no more is allocated than was planned, and not much less") {
    const Model model{four_layers()};
    for (const std::uint64_t memory : {std::uint64_t{1} << 40U, scarce_memory(model.config())}) {
        const MemoryPlan plan = plan_memory(model.config(), positions, {memory}, small_tiles);
        EmulatedDevice emulated = make_emulated_device({.memory_bytes = memory});
        Emulator& emulator = *emulated.emulator;
        const auto ops =
            make_cuda_ops(std::move(emulated.device), model.config(), settings_for(positions));
        Transformer transformer{*model.model, *ops};
        for (const std::int64_t count : {positions, std::int64_t{2}, std::int64_t{300}}) {
            static_cast<void>(model.run(transformer, count));
        }
        const std::uint64_t planned = plan.device_bytes() - plan.reserved_bytes;
        INFO("planned ", planned, ", allocated ", emulator.peak_bytes());
        CHECK(emulator.peak_bytes() <= planned);
        CHECK(static_cast<double>(emulator.peak_bytes()) >= 0.97 * static_cast<double>(planned));
        CHECK(emulator.peak_pinned_bytes() == plan.pinned_host_bytes);
    }
}

TEST_CASE("cuda ops: tied embeddings are on the device once") {
    RandomModel shape = four_layers();
    shape.tied_embeddings = true;
    const Model model{shape};
    const auto ops = emulated_ops(model.config(), positions);
    const Transformer transformer{*model.model, *ops};
    const Model untied{four_layers()};
    const auto other = emulated_ops(untied.config(), positions);
    const std::uint64_t table = static_cast<std::uint64_t>(shape.vocabulary * shape.hidden) * 2;
    CHECK(Transformer(*untied.model, *other).weight_bytes() == transformer.weight_bytes() + table);
}

TEST_CASE("cuda ops: precision f32 is refused with what is accepted") {
    const Model model{four_layers()};
    CudaSettings settings = settings_for(positions);
    settings.precision = Precision::f32;
    CHECK_THROWS_WITH_AS(
        static_cast<void>(make_cuda_ops(make_emulated_device().device, model.config(), settings)),
        doctest::Contains("precision = \"f32\": the cuda backend computes with bfloat16"),
        EvaluatorError);
}

TEST_CASE("cuda ops: a document that cannot fit is refused before anything runs") {
    const Model model{four_layers()};
    const MemoryPlan plan = plan_memory(model.config(), positions, {0}, small_tiles);
    const auto refused = [&](std::uint64_t memory, std::int64_t longest, const char* words) {
        CHECK_THROWS_WITH_AS(
            static_cast<void>(make_cuda_ops(make_emulated_device({.memory_bytes = memory}).device,
                                            model.config(), settings_for(longest))),
            doctest::Contains(words), EvaluatorError);
    };
    const std::string needed = std::to_string(plan.device_bytes()) + " bytes";
    refused(plan.device_bytes() - 1, positions, needed.c_str());
    refused(plan.device_bytes() - 1, positions, "a document of 420 positions needs ");
    CHECK_NOTHROW(static_cast<void>(
        make_cuda_ops(make_emulated_device({.memory_bytes = plan.device_bytes()}).device,
                      model.config(), settings_for(positions))));
}

TEST_CASE("cuda ops: a longer document than announced is taken if it fits, else refused") {
    const Model model{four_layers()};
    const auto ops = emulated_ops(model.config(), 100);
    CHECK(model.run(*ops) == model.run(*emulated_ops(model.config(), positions)));

    // Resident for the short one, but the long one would need streaming; and one beyond that.
    const auto full =
        make_cuda_ops(make_emulated_device({.memory_bytes = scarce_memory(model.config())}).device,
                      model.config(), settings_for(2));
    CHECK(model.run(*full, 2).size() == 1);
    CHECK_THROWS_WITH_AS(static_cast<void>(model.run(*full)),
                         doctest::Contains("documents of up to 2 positions"), EvaluatorError);
    CHECK_THROWS_WITH_AS(static_cast<void>(model.run(*full, 4000)),
                         doctest::Contains("4000 positions"), EvaluatorError);
    CHECK(model.run(*full, 2).size() == 1);
}

TEST_CASE("cuda ops: memory that others hold is not planned with") {
    const Model model{four_layers()};
    const auto had = [&](std::uint64_t held_by_others) {
        const EmulatedDevice emulated = make_emulated_device(
            {.memory_bytes = std::uint64_t{4} << 30U, .held_by_others = held_by_others});
        return plan_on_device(*emulated.device.runtime, model.config(), settings_for(positions))
            .had_bytes;
    };
    CHECK(had(0) == std::uint64_t{4} << 30U);
    CHECK(had(std::uint64_t{1} << 30U) == std::uint64_t{7}
                                              << 29U);  // CUDA's context is no stranger
}

TEST_CASE("cuda ops: the numerics class names kernels, device, libraries and tiles") {
    const EmulatedDevice emulated = make_emulated_device();
    CHECK(numerics_class(emulated.device, {}) ==
          "cuda-1;arch=emulatorx0;products=plain;attention=plain;precision=bf16;"
          "tile=chunk=8192,attention=8192x65536,group=8,logits=4096x8192");
}

}  // namespace
}  // namespace longrope::tests::cuda_emulator
