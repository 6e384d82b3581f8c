// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <optional>
#include <typeinfo>

namespace longrope::cli {
namespace {

struct SettingFlag {
    const char* flag;
    const char* key;
    const char* meaning;
};

constexpr std::array<SettingFlag, 11> setting_flags{{
    {"run-directory", "run.directory", "where history and log are kept"},
    {"seed", "run.seed", "of all random choices"},
    {"time-limit", "run.time_limit_seconds",
     "stop in good time before so many seconds have passed, ready to go on"},
    {"iterations", "stage.iterations", "generations after the first, of the stage"},
    {"backend", "evaluator.backend", "auto, cuda, cpu, reference or synthetic"},
    {"threads", "evaluator.threads", "per evaluator; 0: cores of the node / ranks of the node"},
    {"weights", "evaluator.weights",
     "resident or streamed: what a CPU's evaluators hold in memory"},
    {"isa", "evaluator.isa", "auto, baseline, avx2 or avx512"},
    {"precision", "evaluator.precision", "f32 or bf16"},
    {"attention-scale", "evaluator.attention_scale", "su, yarn, none or a number"},
    {"allow-mixed-numerics", "run.allow_mixed_numerics",
     "accept workers that compute in another numerics class"},
}};

}  // namespace

void add_setting_flags(cxxopts::Options& options, const std::vector<std::string_view>& flags) {
    auto add = options.add_options("Settings (override the file; see docs/configuration.md)");
    const auto offered = [&flags](std::string_view flag) {
        return std::ranges::find(flags, flag) != flags.end();
    };
    for (const SettingFlag& setting : setting_flags) {
        if (!offered(setting.flag)) continue;
        if (std::string_view{setting.flag} == "allow-mixed-numerics") {
            add(setting.flag, setting.meaning);
        } else {
            add(setting.flag, setting.meaning, cxxopts::value<std::string>());
        }
    }
    if (!offered("stage")) return;
    add("stage", "the stage that is meant, where there are several", cxxopts::value<std::string>());
}

void add_setting_flags(cxxopts::Options& options) {
    std::vector<std::string_view> all{"stage"};
    for (const SettingFlag& setting : setting_flags) all.emplace_back(setting.flag);
    add_setting_flags(options, all);
}

std::vector<coordinator::Override> overrides_of(const cxxopts::ParseResult& parsed) {
    std::vector<coordinator::Override> overrides = coordinator::environment_overrides(environ);
    for (const SettingFlag& setting : setting_flags) {
        if (parsed.count(setting.flag) == 0) continue;
        coordinator::Override given;
        given.key = setting.key;
        given.origin = fmt::format("--{}", setting.flag);
        const bool is_switch = std::string_view{setting.flag} == "allow-mixed-numerics";
        given.value = is_switch ? "true" : parsed[setting.flag].as<std::string>();
        if (given.key.starts_with("stage.") && parsed.count("stage") > 0) {
            given.stage = parsed["stage"].as<std::string>();
        }
        overrides.push_back(std::move(given));
    }
    return overrides;
}

namespace {

/// Whether the flag was declared without a value.
bool is_switch(const cxxopts::ParseResult& parsed, const std::string& flag) {
    try {
        static_cast<void>(parsed[flag].as<bool>());
        return true;
    } catch (const std::bad_cast&) {
        return false;
    }
}

/// A switch is there or not: --force=false would count as given.
void refuse_values_of_switches(const cxxopts::ParseResult& parsed, const Words& words) {
    for (const std::string& word : words) {
        if (word == "--") return;
        const std::size_t equals = word.find('=');
        if (!word.starts_with("--") || equals == std::string::npos) continue;
        const std::string flag = word.substr(2, equals - 2);
        if (!is_switch(parsed, flag)) continue;
        throw UsageError{
            fmt::format("{}: --{} takes no value; leave it out where it is not meant", word, flag)};
    }
}

}  // namespace

std::optional<cxxopts::ParseResult> parse(cxxopts::Options& options, const Words& words) {
    options.add_options()("h,help", "show this text");
    std::vector<const char*> argv{"longrope"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    try {
        cxxopts::ParseResult parsed = options.parse(static_cast<int>(argv.size()), argv.data());
        if (parsed.count("help") > 0) {
            std::cout << options.help() << std::flush;
            return std::nullopt;
        }
        refuse_values_of_switches(parsed, words);
        return parsed;
    } catch (const cxxopts::exceptions::exception& error) {
        throw UsageError{fmt::format("{}; see longrope {} --help", error.what(),
                                     options.program().substr(options.program().find(' ') + 1))};
    }
}

std::string positional(const cxxopts::ParseResult& parsed, const std::string& name,
                       const std::string& verb) {
    std::vector<std::string> words = parsed.unmatched();
    if (parsed.count(name) > 0) {
        const auto given = parsed[name].as<std::vector<std::string>>();
        words.insert(words.begin(), given.begin(), given.end());
    }
    if (words.size() == 1 && !words.front().empty()) return words.front();
    if (words.size() == 1) {
        throw UsageError{fmt::format(
            "longrope {}: the {} is an empty word, as of a variable that is not set", verb, name)};
    }
    throw UsageError{fmt::format("longrope {} takes one {}, found {}; see longrope {} --help", verb,
                                 name, words.empty() ? "none" : fmt::format("{}", words.size()),
                                 verb)};
}

std::string text_of(const cxxopts::ParseResult& parsed, const char* flag) {
    return parsed.count(flag) > 0 ? parsed[flag].as<std::string>() : std::string{};
}

const coordinator::StageSettings& named_stage(const coordinator::Configuration& configuration,
                                              const std::string& wanted) {
    const auto& stages = configuration.stages;
    const auto found = std::ranges::find(stages, wanted, &coordinator::StageSettings::name);
    if (found != stages.end()) return *found;
    std::string names;
    for (const auto& stage : stages) names += (names.empty() ? "" : ", ") + stage.name;
    throw UsageError{
        fmt::format("--stage {}: the stages of the configuration are {}", wanted, names)};
}

std::vector<std::string> comma_separated(const std::string& text, const std::string& flag) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    while (true) {
        const std::size_t comma = text.find(',', begin);
        parts.push_back(text.substr(begin, comma - begin));
        if (parts.back().empty()) {
            throw UsageError{fmt::format("{} {}: an empty part between commas", flag, text)};
        }
        if (comma == std::string::npos) return parts;
        begin = comma + 1;
    }
}

}  // namespace longrope::cli
