// SPDX-License-Identifier: Apache-2.0
#include "cli/estimate_command.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "cli/gpu_estimate.hpp"
#include "cli/history_argument.hpp"
#include "cli/json_text.hpp"
#include "cli/machine.hpp"
#include "cli/run_inputs.hpp"
#include "cli/stage_estimate.hpp"
#include "coordinator/stage_plan.hpp"
#include "evaluator/known_gpus.hpp"
#include "evaluator/model/model_config.hpp"

namespace longrope::cli {
namespace {

constexpr std::uint32_t most_gpus = 1'000'000;

std::string known_names() {
    std::vector<std::string_view> names;
    for (const evaluator::GpuModel& gpu : evaluator::known_gpus()) names.push_back(gpu.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

const evaluator::GpuModel& gpu_of(const cxxopts::ParseResult& parsed) {
    const auto name = parsed["device"].as<std::string>();
    const evaluator::GpuModel* gpu = evaluator::find_known_gpu(name);
    if (gpu != nullptr) return *gpu;
    throw UsageError{
        fmt::format("--device: \"{}\" is not known; accepted are {}", name, known_names())};
}

std::vector<std::uint32_t> numbers_of_gpus(const cxxopts::ParseResult& parsed) {
    std::vector<std::uint32_t> numbers;
    for (const std::string& part : comma_separated(parsed["gpus"].as<std::string>(), "--gpus")) {
        const std::uint32_t number = spelled_number<std::uint32_t>(part).value_or(0);
        if (number == 0 || number > most_gpus) {
            throw UsageError{
                fmt::format("--gpus: found \"{}\", expected numbers of 1 to {}", part, most_gpus)};
        }
        numbers.push_back(number);
    }
    refuse_repetition(numbers, "--gpus");
    return numbers;
}

void require_gpu_settings(const coordinator::BackendSettings& settings) {
    if (settings.backend != "auto" && settings.backend != "cuda") {
        throw UsageError{fmt::format(
            "evaluator.backend = \"{}\": an estimate for a GPU is one of \"auto\" or \"cuda\"; "
            "longrope search --check estimates for this machine",
            settings.backend)};
    }
    if (settings.precision != "bf16") {
        throw UsageError{
            fmt::format("evaluator.precision = \"{}\": GPUs compute in bf16; add --precision bf16",
                        settings.precision)};
    }
}

}  // namespace

void add_estimate_flags(cxxopts::Options& options) {
    auto add = options.add_options("On GPUs (config.json is enough)");
    add("device", fmt::format("plan for this GPU: {}", known_names()),
        cxxopts::value<std::string>()->default_value("h100-80gb"));
    add("gpus", "numbers of GPUs to say utilisation and wall time for",
        cxxopts::value<std::string>()->default_value("1,8,16,64"));
}

bool names_device(const cxxopts::ParseResult& parsed) {
    return parsed.count("device") > 0;
}

ExitCode print_gpu_estimate(const coordinator::Configuration& configuration,
                            const cxxopts::ParseResult& parsed, bool json) {
    const evaluator::GpuModel& gpu = gpu_of(parsed);
    const std::vector<std::uint32_t> numbers = numbers_of_gpus(parsed);
    require_gpu_settings(configuration.evaluator);
    const evaluator::ModelConfig model = evaluator::read_model_config(configuration.model.path);
    const coordinator::RunFacts facts = planned_facts(configuration);
    std::string text = fmt::format(
        "{}: {}, {:.2f} billion parameters, {} rotary pairs, original window {} tokens.\n",
        configuration.model.path, model.architecture,
        static_cast<double>(evaluator::count_parameters(model)) / 1e9, facts.rotary_pairs,
        facts.original_window);
    boost::json::array stages;
    std::string too_large;
    std::vector<coordinator::StageSettings> asked = configuration.stages;
    if (parsed.count("stage") > 0) {
        asked = {named_stage(configuration, parsed["stage"].as<std::string>())};
    }
    for (const coordinator::StageSettings& stage : asked) {
        const GpuStageEstimate estimate =
            estimate_on_gpu(coordinator::plan_stage(configuration, stage, facts),
                            longest_positions(configuration, stage), model, gpu, numbers);
        text += to_text(estimate, gpu);
        if (estimate.memory.fits()) {
            text += deadline_hint(estimate.task.longest,
                                  configuration.evaluator.deadline_floor_seconds);
        }
        stages.push_back(to_json(estimate));
        if (estimate.memory.fits()) continue;
        too_large += fmt::format("{}stage \"{}\" needs {}", too_large.empty() ? "" : ", ",
                                 estimate.stage, spell_bytes(estimate.memory.device_bytes()));
    }
    text += fmt::format(
        "\nTimes assume {:.0f} to {:.0f} % of the GPU's peak, equal tasks and one evaluator per "
        "GPU;\nno weights were read and nothing was computed.\n",
        100.0 * evaluator::assumed_lowest_share, 100.0 * evaluator::assumed_highest_share);
    if (json) {
        text = json_line(boost::json::object{{"model", configuration.model.path},
                                             {"parameters", evaluator::count_parameters(model)},
                                             {"device", gpu.name},
                                             {"memory_bytes", gpu.memory_bytes},
                                             {"peak_flops", gpu.peak_flops},
                                             {"stages", std::move(stages)}});
    }
    std::cout << text << std::flush;
    if (too_large.empty()) return ExitCode::done;
    throw coordinator::ConfigurationError{
        fmt::format("{}, and {} has {}: it does not fit; take a GPU with more memory or a shorter "
                    "target",
                    too_large, gpu.name, spell_bytes(gpu.memory_bytes))};
}

ExitCode run_estimate(const Words& words) {
    cxxopts::Options options{
        "longrope estimate",
        "What a search would take on GPUs that need not be there: memory, FLOP and time of an\n"
        "evaluation, GPU-hours, utilisation. Reads of the model config.json alone.\n"
        "Exit status 3 if a stage does not fit, after what its evaluator needs was printed.\n"};
    options.positional_help("CONFIG");
    options.add_options()("CONFIG", "configuration file (TOML)",
                          cxxopts::value<std::vector<std::string>>());
    options.add_options()("json", "print JSON");
    options.parse_positional({"CONFIG"});
    add_estimate_flags(options);
    add_setting_flags(options, {"iterations", "backend", "precision", "stage"});
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const std::string file = positional(*parsed, "CONFIG", "estimate");
    refuse_run(file, "estimate");
    return print_gpu_estimate(coordinator::read_configuration(file, overrides_of(*parsed)), *parsed,
                              parsed->count("json") > 0);
}

}  // namespace longrope::cli
