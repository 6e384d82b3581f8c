// SPDX-License-Identifier: Apache-2.0
#include "coordinator/objective.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

namespace longrope::coordinator {
namespace {

// What is smaller still could be 0 among weights that add up to 1.
constexpr double smallest_share = 1e-300;

double largest_weight(const std::vector<ScoredLength>& lengths) {
    return std::ranges::max_element(lengths, {}, &ScoredLength::weight)->weight;
}

double sum_of_weights(const std::vector<ScoredLength>& lengths) {
    double sum = 0.0;
    for (const ScoredLength& length : lengths) sum += length.weight;
    return sum;
}

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

template <typename Number>
std::optional<Number> number_of(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<ScoredLength> parse_part(std::string_view part) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const auto tokens = number_of<std::uint64_t>(trimmed(part.substr(0, equals)));
    const auto weight = number_of<double>(trimmed(part.substr(equals + 1)));
    constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
    if (!tokens || *tokens < 2 || *tokens > most) return std::nullopt;
    if (!weight || !std::isfinite(*weight) || *weight <= 0.0) return std::nullopt;
    return ScoredLength{*tokens, *weight};
}

}  // namespace

std::optional<std::vector<ScoredLength>> parse_objective(std::string_view text) {
    std::vector<ScoredLength> lengths;
    while (true) {
        const std::size_t comma = text.find(',');
        const auto length = parse_part(text.substr(0, comma));
        if (!length) return std::nullopt;
        lengths.push_back(*length);
        if (comma == std::string_view::npos) break;
        text.remove_prefix(comma + 1);
    }
    std::ranges::sort(lengths, {}, &ScoredLength::tokens);
    const auto twice = std::ranges::adjacent_find(lengths, {}, &ScoredLength::tokens);
    if (twice != lengths.end()) return std::nullopt;
    const double largest = largest_weight(lengths);
    const auto vanishes = [largest](const ScoredLength& length) {
        return length.weight / largest < smallest_share;
    };
    if (std::ranges::any_of(lengths, vanishes)) return std::nullopt;
    return lengths;
}

std::string objective_text(const std::vector<ScoredLength>& lengths) {
    std::string text;
    for (const ScoredLength& length : lengths) {
        text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", length.tokens, length.weight);
    }
    return text;
}

std::vector<ScoredLength> normalised(std::vector<ScoredLength> lengths) {
    double sum = sum_of_weights(lengths);
    if (!std::isfinite(sum)) {
        const double largest = largest_weight(lengths);
        for (ScoredLength& length : lengths) length.weight /= largest;
        sum = sum_of_weights(lengths);
    }
    for (ScoredLength& length : lengths) length.weight /= sum;
    return lengths;
}

}  // namespace longrope::coordinator
