// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_relations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "coordinator/objective.hpp"
#include "coordinator/toml_document.hpp"
#include "coordinator/trainings.hpp"

namespace longrope::coordinator {
namespace {

struct Size {
    const char* key;
    std::uint32_t StageSettings::*member;
};
constexpr std::array<Size, 4> halved_sizes{{{"stage.population", &StageSettings::population},
                                            {"stage.parents", &StageSettings::parents},
                                            {"stage.mutations", &StageSettings::mutations},
                                            {"stage.crossovers", &StageSettings::crossovers}}};

void halve_large(StageSettings& stage, const GivenSettings& given, std::size_t index) {
    if (stage.target_tokens < halved_from_tokens) return;
    for (const Size& size : halved_sizes) {
        if (!given.is_given(size.key, index)) stage.*size.member /= 2;
    }
}

std::string at(const GivenSettings& given, const char* key, std::size_t index) {
    return fmt::format("{}: {}", given.origin(key, index), key);
}

/// The earlier stage that this one builds on; null if none.
const StageSettings* base_of(const Configuration& configuration, const GivenSettings& given,
                             std::size_t index) {
    const StageSettings& stage = configuration.stages[index];
    if (stage.base.empty()) return nullptr;
    std::vector<std::string> earlier;
    for (std::size_t i = 0; i < index; ++i) {
        if (configuration.stages[i].name == stage.base) return &configuration.stages[i];
        earlier.push_back(toml_string(configuration.stages[i].name));
    }
    const std::string accepted = earlier.empty() ? "this is the first stage, so it can have none"
                                                 : fmt::format("the stages before this one are {}",
                                                               fmt::join(earlier, ", "));
    const bool later = std::ranges::any_of(
        configuration.stages, [&](const StageSettings& other) { return other.name == stage.base; });
    throw ConfigurationError{
        fmt::format("{} = {}: {}.\nA stage builds on the result of an earlier one: {}.",
                    at(given, "stage.base", index), toml_string(stage.base),
                    stage.base == stage.name ? "that is this stage itself"
                    : later                  ? "that stage comes later"
                                             : "there is no such stage",
                    accepted)};
}

void check_kind(StageSettings& stage, const StageSettings* base, const GivenSettings& given,
                std::size_t index) {
    const bool recovery = stage.kind == "recovery";
    if (recovery && base == nullptr) {
        throw ConfigurationError{fmt::format(
            "{} = \"recovery\", but stage.base is not given.\nA recovery searches a list for short "
            "texts on the weights that an earlier stage was tuned for: name that stage as base.",
            at(given, "stage.kind", index))};
    }
    if (recovery && stage.method == "reference") {
        throw ConfigurationError{fmt::format(
            "{} = \"reference\", but stage.kind = \"recovery\" ({}).\nThe reference has "
            "no recovery: use stage.method = \"paper\".",
            at(given, "stage.method", index), given.origin("stage.kind", index))};
    }
    if (recovery && !given.is_given("stage.bound", index)) stage.bound = "1+s";
    if (base == nullptr) return;
    if (base->kind != "search") {
        throw ConfigurationError{fmt::format(
            "{} = {}: that stage has kind = {}.\nA base is a stage of kind \"search\".",
            at(given, "stage.base", index), toml_string(base->name), toml_string(base->kind))};
    }
    const bool fits = recovery ? stage.target_tokens < base->target_tokens
                               : stage.target_tokens > base->target_tokens;
    if (fits) return;
    throw ConfigurationError{fmt::format(
        "{} = {}, but that of its base {} is {} ({}).\n{}: use a target {} that of the base.",
        at(given, "stage.target_tokens", index), stage.target_tokens, toml_string(base->name),
        base->target_tokens, given.origin("stage.base", index),
        recovery ? "A recovery is for texts shorter than its base was searched for"
                 : "A stage with a base extends that further",
        recovery ? "below" : "above")};
}

/// Trainings under the factors of named stages: each of an earlier one.
void check_trainings(const Configuration& configuration, const GivenSettings& given,
                     std::size_t index) {
    const StageSettings& stage = configuration.stages[index];
    const std::span earlier{configuration.stages.data(), index};
    const std::vector<Training> trainings = parse_trainings(stage.finetune).value();
    for (const Training& training : trainings) {
        if (training.stage.empty()) continue;
        const auto named = std::ranges::find(earlier, training.stage, &StageSettings::name);
        if (named != earlier.end() && named->kind == "search") continue;
        std::vector<std::string> accepted;
        for (const StageSettings& other : earlier) {
            if (other.kind == "search") accepted.push_back(toml_string(other.name));
        }
        throw ConfigurationError{fmt::format(
            "{} = {}: no earlier search is named {}.\nWeights are trained under the factors of an "
            "earlier stage{}{}.",
            at(given, "stage.finetune", index), toml_string(stage.finetune),
            toml_string(training.stage), accepted.empty() ? ", and there is none" : ": ",
            fmt::join(accepted, ", "))};
    }
}

void check_objective(const StageSettings& stage, const GivenSettings& given, std::size_t index) {
    if (stage.objective.empty()) return;
    const auto lengths = parse_objective(stage.objective).value();
    if (lengths.back().tokens == stage.target_tokens) return;
    throw ConfigurationError{fmt::format(
        "{} = {}: its longest length is {} tokens, but stage.target_tokens = {} ({}).\nLengths are "
        "in [2, target_tokens], and the target itself is one of them.",
        at(given, "stage.objective", index), toml_string(stage.objective), lengths.back().tokens,
        stage.target_tokens, given.origin("stage.target_tokens", index))};
}

}  // namespace

void relate_stages(Configuration& configuration, const GivenSettings& given) {
    for (std::size_t index = 0; index < configuration.stages.size(); ++index) {
        const StageSettings* base = base_of(configuration, given, index);
        StageSettings& stage = configuration.stages[index];
        halve_large(stage, given, index);
        check_kind(stage, base, given, index);
        check_objective(stage, given, index);
        check_trainings(configuration, given, index);
    }
}

}  // namespace longrope::coordinator
