// SPDX-License-Identifier: Apache-2.0
#include "coordinator/configuration.hpp"

#include <fmt/core.h>

#include <cstddef>
#include <limits>
#include <utility>

#include "coordinator/given_settings.hpp"
#include "coordinator/setting_declarations.hpp"
#include "coordinator/stage_relations.hpp"
#include "coordinator/toml_document.hpp"

namespace longrope::coordinator {
namespace {

/// "<origin of the given one>: a = 1, but b = 2 (<its origin>)." for two keys that do not fit.
std::string disagreement(Configuration& configuration, const GivenSettings& given,
                         const std::string& first, const std::string& second, std::size_t stage) {
    const auto value = [&](const std::string& key) {
        return field_toml(find_setting(key)->field(configuration, stage));
    };
    const bool swapped = !given.is_given(first, stage);  // an error points at something written
    const std::string& blamed = swapped ? second : first;
    const std::string& other = swapped ? first : second;
    return fmt::format("{}: {} = {}, but {} = {} ({}).", given.origin(blamed, stage), blamed,
                       value(blamed), other, value(other), given.origin(other, stage));
}

void check_parents(Configuration& configuration, const GivenSettings& given, std::size_t stage) {
    const StageSettings& settings = configuration.stages[stage];
    if (settings.parents <= settings.population) return;
    throw ConfigurationError{
        fmt::format("{}\nParents are chosen from the population: use stage.parents in [2, {}].",
                    disagreement(configuration, given, "stage.parents", "stage.population", stage),
                    settings.population)};
}

void check_children(Configuration& configuration, const GivenSettings& given, std::size_t stage) {
    const StageSettings& settings = configuration.stages[stage];
    const std::uint64_t children = std::uint64_t{settings.mutations} + settings.crossovers;
    if (children == 0) {
        throw ConfigurationError{fmt::format(
            "{}\nAn iteration breeds children: mutations + crossovers must be at least 1.",
            disagreement(configuration, given, "stage.crossovers", "stage.mutations", stage))};
    }
    // The history numbers individuals in 32 bits, -1 being none.
    constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
    const std::uint64_t individuals = settings.population + settings.iterations * children;
    if (individuals > most) {
        throw ConfigurationError{fmt::format(
            "{}: stage.iterations = {} gives {} individuals.\npopulation + iterations * (mutations "
            "+ crossovers) must be at most {}: use stage.iterations in [0, {}].",
            given.origin("stage.iterations", stage), settings.iterations, individuals, most,
            (most - settings.population) / children)};
    }
}

void check_max_evaluations(Configuration& configuration, const GivenSettings& given,
                           std::size_t stage) {
    const StageSettings& settings = configuration.stages[stage];
    if (settings.max_evaluations == 0 || settings.max_evaluations >= settings.population) return;
    throw ConfigurationError{fmt::format(
        "{}\nThe first population is always scored: use stage.max_evaluations of at least {}, or 0 "
        "for no limit.",
        disagreement(configuration, given, "stage.max_evaluations", "stage.population", stage),
        settings.population)};
}

void check_names(const Configuration& configuration, const GivenSettings& given) {
    for (std::size_t stage = 0; stage < configuration.stages.size(); ++stage) {
        for (std::size_t earlier = 0; earlier < stage; ++earlier) {
            const std::string& name = configuration.stages[stage].name;
            if (configuration.stages[earlier].name != name) continue;
            throw ConfigurationError{fmt::format(
                "{}: stage.name = {}, but so is that of {}.\nStages are told apart by their names: "
                "use another.",
                given.origin("stage.name", stage), toml_string(name),
                given.origin("stage.name", earlier))};
        }
    }
}

void check_synthetic(Configuration& configuration, const GivenSettings& given) {
    if (configuration.evaluator.backend == "synthetic") return;
    for (const Setting& setting : settings()) {
        if (!setting.synthetic() || !given.is_given(setting.key())) continue;
        throw ConfigurationError{fmt::format(
            "{}\nThe keys of [evaluator.synthetic] go with evaluator.backend = \"synthetic\".",
            disagreement(configuration, given, setting.key(), "evaluator.backend", 0))};
    }
}

/// The GPU backend has no float32: what a GPU is fast in is what it computes in.
void check_gpu_precision(Configuration& configuration, const GivenSettings& given) {
    const BackendSettings& evaluator = configuration.evaluator;
    if (evaluator.backend != "cuda" || evaluator.precision == "bf16") return;
    throw ConfigurationError{fmt::format(
        "{}\nThe GPU backend computes in bf16: use evaluator.precision = \"bf16\".",
        disagreement(configuration, given, "evaluator.precision", "evaluator.backend", 0))};
}

/// The published code leaves no choice in these settings: they follow from the method, and one that
/// is given must agree.
void fix_reference_settings(Configuration& configuration, const GivenSettings& given,
                            std::size_t stage) {
    if (configuration.stages[stage].method != "reference") return;
    Configuration fixed = configuration;
    fixed.stages[stage].grid_step = 0.01;
    fixed.stages[stage].bound = "1+s";
    fixed.stages[stage].start_tokens = "none";
    for (const Setting& setting : settings()) {
        if (!setting.per_stage() || !given.is_given(setting.key(), stage)) continue;
        const std::string only = field_toml(setting.field(fixed, stage));
        if (field_toml(setting.field(configuration, stage)) == only) continue;
        throw ConfigurationError{fmt::format(
            "{}\nThe reference's search has {} = {}: leave the setting out, or use stage.method = "
            "\"paper\".",
            disagreement(configuration, given, setting.key(), "stage.method", stage), setting.key(),
            only)};
    }
    configuration = std::move(fixed);
}

/// Each setting by itself, then those that must fit each other.
Configuration checked(const GivenSettings& given) {
    Configuration configuration = given.checked();
    check_names(configuration, given);
    check_synthetic(configuration, given);
    relate_stages(configuration, given);
    check_gpu_precision(configuration, given);
    for (std::size_t stage = 0; stage < configuration.stages.size(); ++stage) {
        check_parents(configuration, given, stage);
        check_children(configuration, given, stage);
        check_max_evaluations(configuration, given, stage);
        fix_reference_settings(configuration, given, stage);
    }
    return configuration;
}

}  // namespace

Configuration read_configuration(const std::filesystem::path& file,
                                 const std::vector<Override>& overrides) {
    GivenSettings given{file, read_toml(file)};
    for (const Override& override : overrides) given.apply(override);
    return checked(given);
}

Configuration parse_configuration(std::string_view text, const std::string& origin,
                                  const std::vector<Override>& overrides) {
    GivenSettings given{origin, parse_toml(text, origin)};
    for (const Override& override : overrides) given.apply(override);
    return checked(given);
}

}  // namespace longrope::coordinator
