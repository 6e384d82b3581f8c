// SPDX-License-Identifier: Apache-2.0
#include "cli/gpu_estimate.hpp"

#include <doctest/doctest.h>

#include <array>
#include <boost/json.hpp>
#include <numeric>
#include <tuple>
#include <vector>

#include "cli/run_inputs.hpp"

namespace longrope::cli {
namespace {

coordinator::StagePlan paper_plan(std::uint64_t target_tokens) {
    coordinator::Configuration configuration;
    configuration.documents.search = 5;
    configuration.run.directory = "run";
    coordinator::StageSettings stage;
    stage.name = "long";
    stage.target_tokens = target_tokens;
    configuration.stages.push_back(stage);
    coordinator::RunFacts facts;
    facts.rotary_pairs = 64;
    facts.theta = 10000.0;
    facts.original_window = 4096;
    for (int i = 0; i < 5; ++i) facts.documents.push_back({"book", "search", target_tokens});
    return coordinator::plan_stage(configuration, stage, facts);
}

GpuStageEstimate on(const char* gpu, std::uint64_t target_tokens) {
    constexpr std::array<std::uint32_t, 2> gpus{1, 64};
    return estimate_on_gpu(
        paper_plan(target_tokens), target_tokens,
        evaluator::read_model_config(LONGROPE_SOURCE_DIR "/configs/models/llama2-7b"),
        *evaluator::find_known_gpu(gpu), gpus);
}

TEST_CASE("a batch keeps GPUs busy for whole rounds, and the next one waits for it") {
    const std::vector<std::uint64_t> batches{10, 4, 4};
    const Occupancy one = occupancy(batches, 1, {2.0, 3.0});
    CHECK(one.utilisation == 1.0);
    CHECK(one.wall.shortest == 36.0);
    CHECK(one.wall.longest == 54.0);
    const Occupancy four = occupancy(batches, 4, {2.0, 3.0});  // 3 + 1 + 1 rounds
    CHECK(four.utilisation == doctest::Approx(18.0 / 20.0));
    CHECK(four.wall.shortest == 10.0);
    const Occupancy many = occupancy(batches, 100, {2.0, 3.0});
    CHECK(many.wall.longest == 9.0);
    CHECK(occupancy({}, 8, {1.0, 1.0}).utilisation == 0.0);
}

TEST_CASE("more GPUs never take longer, and never are busier for equal batches") {
    const std::vector<std::uint64_t> batches(41, 160);
    Occupancy before = occupancy(batches, 1, {1.0, 1.0});
    for (std::uint32_t gpus = 2; gpus < 400; ++gpus) {
        const Occupancy now = occupancy(batches, gpus, {1.0, 1.0});
        INFO(gpus, " GPUs");
        CHECK(now.wall.longest <= before.wall.longest);
        CHECK(now.utilisation <= 1.0);
        CHECK(now.utilisation * gpus * now.wall.longest == doctest::Approx(41 * 160));
        before = now;
    }
}

TEST_CASE("the paper's search of LLaMA2-7B costs what its sizes say") {
    const GpuStageEstimate estimate = on("a100-80gb", 262'144);
    CHECK(estimate.individuals == 1344);
    CHECK(estimate.tasks_of_an_iteration == 160);
    CHECK(estimate.flop.total() == doctest::Approx(2.15e16).epsilon(5e-3));
    CHECK(estimate.task.longest == doctest::Approx(138.0).epsilon(5e-3));
    CHECK(estimate.task.shortest == doctest::Approx(98.0).epsilon(1e-2));
    CHECK(estimate.memory.fits());
    // 160 tasks are two and a half rounds of 64 GPUs.
    CHECK(estimate.occupancy.back().utilisation < 0.85);
    CHECK(estimate.occupancy.front().utilisation == 1.0);
}

TEST_CASE("a search of the first population alone is told no tasks per iteration") {
    coordinator::StagePlan plan = paper_plan(262'144);
    plan.search.iterations = 0;
    const evaluator::GpuModel& gpu = *evaluator::find_known_gpu("a100-80gb");
    const std::string text = to_text(
        estimate_on_gpu(
            plan, plan.positions,
            evaluator::read_model_config(LONGROPE_SOURCE_DIR "/configs/models/llama2-7b"), gpu, {}),
        gpu);
    CHECK(text.find(" at first, ") != std::string::npos);
    CHECK(text.find("per iteration") == std::string::npos);
    CHECK(to_text(on("a100-80gb", 262'144), gpu).find("160 per iteration, ") != std::string::npos);
}

TEST_CASE("a stage is planned with the memory that a longer one with its weights asks for") {
    coordinator::Configuration configuration;
    for (const auto& [name, tokens, weights] :
         {std::tuple{"short", 131'072, ""}, {"long", 2'048'000, ""}, {"tuned", 262'144, "tuned"}}) {
        coordinator::StageSettings stage;
        stage.name = name;
        stage.target_tokens = static_cast<std::uint64_t>(tokens);
        stage.model = weights;
        configuration.stages.push_back(stage);
    }
    CHECK(longest_positions(configuration, configuration.stages[0]) == 2'048'000);
    CHECK(longest_positions(configuration, configuration.stages[1]) == 2'048'000);
    CHECK(longest_positions(configuration, configuration.stages[2]) == 262'144);
    const std::vector<protocol::Setup> setups = setups_of(configuration);  // what the run opens
    for (std::size_t stage = 0; stage < setups.size(); ++stage) {
        CHECK(setups[stage].longest_positions ==
              longest_positions(configuration, configuration.stages[stage]));
    }

    const evaluator::ModelConfig model =
        evaluator::read_model_config(LONGROPE_SOURCE_DIR "/configs/models/llama2-7b");
    const evaluator::GpuModel& gpu = *evaluator::find_known_gpu("h100-80gb");
    const coordinator::StagePlan plan = paper_plan(131'072);
    const GpuStageEstimate alone = estimate_on_gpu(plan, 131'072, model, gpu, {});
    const GpuStageEstimate shared = estimate_on_gpu(plan, 2'048'000, model, gpu, {});
    CHECK(alone.memory.placement == evaluator::cuda::WeightPlacement::resident);
    CHECK(shared.memory.placement == evaluator::cuda::WeightPlacement::streamed);
    CHECK(shared.memory.device_bytes() == on("h100-80gb", 2'048'000).memory.device_bytes());
    CHECK(shared.positions == 131'072);
    CHECK(shared.flop.total() == alone.flop.total());
    CHECK(to_json(shared).at("memory").at("positions").as_uint64() == 2'048'000);
    CHECK(to_text(shared, gpu).find("which another stage gives 2048000 tokens\n") !=
          std::string::npos);
    CHECK(to_text(alone, gpu).find("another stage") == std::string::npos);
}

TEST_CASE("two million tokens of LLaMA2-7B fit a card of 80 GB, and not one of 40") {
    CHECK(on("h100-80gb", 2'048'000).memory.fits());
    const GpuStageEstimate small = on("a100-40gb", 2'048'000);
    CHECK_FALSE(small.memory.fits());
    const std::string text = to_text(small, *evaluator::find_known_gpu("a100-40gb"));
    CHECK(text.find("DOES NOT FIT") != std::string::npos);
    CHECK(text.find("GPU-hours") == std::string::npos);
    const boost::json::object told = to_json(small);
    CHECK_FALSE(told.at("memory").at("fits").as_bool());
    CHECK(told.at("gpu_seconds").is_null());
    CHECK(told.at("task_seconds").is_null());
    CHECK(told.at("occupancy").as_array().empty());
}

}  // namespace
}  // namespace longrope::cli
