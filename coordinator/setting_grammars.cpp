// SPDX-License-Identifier: Apache-2.0
#include "coordinator/setting_grammars.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

#include "coordinator/configuration.hpp"
#include "coordinator/objective.hpp"
#include "coordinator/trainings.hpp"
#include "genome/attention_scale.hpp"

namespace longrope::coordinator {
namespace {

/// The whole of `text` as a finite number.
std::optional<double> number_of(std::string_view text) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) {
        return std::nullopt;
    }
    return number;
}

}  // namespace

std::optional<std::string> canonical_bound(std::string_view text) {
    if (text == "1+s") return "1+s";
    const bool multiple = text.ends_with('s');
    if (multiple) text.remove_suffix(1);
    const auto number = number_of(text);
    if (!number || (multiple ? *number <= 0 : *number < 1)) return std::nullopt;
    return fmt::format("{}{}", *number, multiple ? "s" : "");
}

std::optional<std::string> canonical_attention_scale(std::string_view text) {
    const auto scale = genome::AttentionScale::parse(text);
    return scale ? std::optional{scale->text()} : std::nullopt;
}

std::optional<std::string> canonical_stage_name(std::string_view text) {
    const bool unprintable = std::ranges::any_of(text, [](char character) {
        const auto byte = static_cast<unsigned char>(character);
        return byte < 0x20 || byte == 0x7f;
    });
    if (text.empty() || text == "." || text == ".." || text == "documents" || unprintable ||
        text.find('/') != std::string_view::npos || text.size() > 64) {
        return std::nullopt;
    }
    return std::string{text};
}

std::optional<std::string> canonical_stage_reference(std::string_view text) {
    return text.empty() ? std::string{} : canonical_stage_name(text);
}

std::optional<std::string> canonical_count(std::string_view text) {
    if (text.empty()) return std::string{};
    std::uint32_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return fmt::format("{}", count);
}

std::optional<std::string> canonical_objective(std::string_view text) {
    if (text.empty()) return std::string{};
    const auto lengths = parse_objective(text);
    return lengths ? std::optional{objective_text(*lengths)} : std::nullopt;
}

std::optional<std::string> canonical_trainings(std::string_view text) {
    const auto trainings = parse_trainings(text);
    return trainings ? std::optional{trainings_text(*trainings)} : std::nullopt;
}

double max_factor(const std::string& bound, double s) {
    const auto canonical = canonical_bound(bound);
    if (!canonical) {
        throw ConfigurationError{fmt::format(
            "\"{}\" is no bound of the rescale factors: \"1.25s\", \"1+s\" or a number >= 1",
            bound)};
    }
    if (*canonical == "1+s") return 1 + s;
    if (!canonical->ends_with('s')) return number_of(*canonical).value();
    return number_of(std::string_view{*canonical}.substr(0, canonical->size() - 1)).value() * s;
}

}  // namespace longrope::coordinator
