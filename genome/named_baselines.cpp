// SPDX-License-Identifier: Apache-2.0
#include "genome/named_baselines.hpp"

#include <array>
#include <charconv>
#include <system_error>
#include <utility>

namespace longrope::genome {

namespace {

constexpr std::array<std::string_view, 8> fixed_names{
    "none", "pi", "ntk", "dynamic-ntk", "ntk-critical", "llama3", "ramp", "yarn"};
constexpr std::array<std::string_view, 7> seed_names{
    "pi", "ntk", "yarn", "ntk-critical", "yarn-64-1", "yarn-16-1", "yarn-32-2"};

std::optional<double> parse_number(std::string_view text) {
    double value = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "yarn-64-1" names the turns 64 and 1.
std::optional<YarnTurns> parse_yarn(std::string_view name) {
    constexpr std::string_view prefix = "yarn-";
    if (!name.starts_with(prefix)) return std::nullopt;
    const std::string_view turns = name.substr(prefix.size());
    const std::size_t dash = turns.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto fast = parse_number(turns.substr(0, dash));
    const auto slow = parse_number(turns.substr(dash + 1));
    if (!fast || !slow) return std::nullopt;
    return YarnTurns{.beta_fast = *fast, .beta_slow = *slow};
}

}  // namespace

std::span<const std::string_view> baseline_names() noexcept {
    return fixed_names;
}

std::string accepted_baselines() {
    std::string names;
    for (const std::string_view name : fixed_names) names.append(name).append(", ");
    return names + "yarn-FAST-SLOW";
}

std::optional<std::vector<double>> named_baseline(std::string_view name, const RotaryFacts& facts,
                                                  double target_window) {
    if (name == "none") return unscaled_factors(facts);
    if (name == "pi") return linear_factors(facts, target_window);
    if (name == "ntk") return ntk_factors(facts, target_window);
    if (name == "dynamic-ntk") return dynamic_ntk_factors(facts, target_window);
    if (name == "ntk-critical") return critical_dimension_ntk_factors(facts, target_window);
    if (name == "llama3") return llama3_factors(facts, target_window);
    if (name == "ramp") return ramp_factors(facts, target_window);
    if (name == "yarn") return yarn_factors(facts, target_window);
    if (const auto turns = parse_yarn(name)) return yarn_factors(facts, target_window, *turns);
    return std::nullopt;
}

std::vector<NamedFactors> seed_baselines(const RotaryFacts& facts, double target_window) {
    std::vector<NamedFactors> seeds;
    seeds.reserve(seed_names.size());
    for (const std::string_view name : seed_names) {
        seeds.push_back({std::string{name}, named_baseline(name, facts, target_window).value()});
    }
    return seeds;
}

}  // namespace longrope::genome
