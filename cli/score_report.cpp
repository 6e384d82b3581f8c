// SPDX-License-Identifier: Apache-2.0
#include "cli/score_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>

namespace longrope::cli {
namespace {

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The title without " i/n" at its end.
std::string source_of(const std::string& title) {
    const std::size_t space = title.rfind(' ');
    const std::size_t slash = title.rfind('/');
    if (space == std::string::npos || slash == std::string::npos || slash < space) return title;
    const std::string_view end = title;
    const bool numbered =
        is_number(end.substr(space + 1, slash - space - 1)) && is_number(end.substr(slash + 1));
    return numbered ? title.substr(0, space) : title;
}

/// Characters of UTF-8 text: as many columns of a terminal, for the scripts titles are written in.
std::size_t characters(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

std::string heading(const DocumentGroup& group) {
    return fmt::format("{} ({})", group.name, group.documents.size());
}

std::string spell_perplexity(double value) {
    constexpr double last_in_full = 99999.0;  // what an unstretched model reaches is far beyond
    return value <= last_in_full ? fmt::format("{:9.3f}", value) : fmt::format("{:9.3g}", value);
}

std::string spell_difference(const PairedDifference& difference, bool with_error) {
    constexpr double last_with_decimals = 1000.0;  // percent
    constexpr double last_in_full = 1e5;
    if (!(difference.percent < last_in_full)) return fmt::format("{:+.2g} %", difference.percent);
    const int decimals = difference.percent < last_with_decimals ? 2 : 0;
    std::string text = fmt::format("{:+.{}f}", difference.percent, decimals);
    if (with_error) text += fmt::format(" ± {:.{}f}", difference.standard_error, decimals);
    return text + " %";
}

bool is_scored(const MethodScores& method, std::span<const std::size_t> documents) {
    return method.failed.empty() ||
           std::ranges::none_of(documents, [&](std::size_t i) { return method.failed[i]; });
}

std::string cell(const MethodScores& method, const MethodScores* reference,
                 std::span<const std::uint64_t> tokens, std::span<const std::size_t> documents) {
    const bool scored = is_scored(method, documents);
    std::string text = scored ? spell_perplexity(perplexity(method, tokens, documents))
                              : fmt::format("{:>9}", "failed");
    if (!reference) return text;
    if (reference == &method) return text + fmt::format("{:>18}", "-");
    if (!scored || !is_scored(*reference, documents)) return text + fmt::format("{:>18}", "");
    const PairedDifference difference = paired_difference(method, *reference, tokens, documents);
    return text + fmt::format("{:>18}", spell_difference(difference, documents.size() > 1));
}

}  // namespace

std::vector<DocumentGroup> group_by_source(std::span<const std::string> titles) {
    std::vector<DocumentGroup> groups;
    for (std::size_t i = 0; i < titles.size(); ++i) {
        const std::string source = source_of(titles[i]);
        auto group = std::ranges::find(groups, source, &DocumentGroup::name);
        if (group == groups.end()) group = groups.insert(groups.end(), {source, {}});
        group->documents.push_back(i);
    }
    return groups;
}

double perplexity(const MethodScores& method, std::span<const std::uint64_t> tokens,
                  std::span<const std::size_t> documents) {
    double sum = 0.0;
    double count = 0.0;
    for (const std::size_t i : documents) {
        sum += method.nll[i];
        count += static_cast<double>(tokens[i]);
    }
    return std::exp(sum / count);
}

double perplexity_error(const MethodScores& method, std::span<const std::uint64_t> tokens,
                        std::span<const std::size_t> documents) {
    const auto n = static_cast<double>(documents.size());
    if (documents.size() < 2) return std::numeric_limits<double>::quiet_NaN();
    const double mean = std::log(perplexity(method, tokens, documents));
    double squares = 0.0;
    double count = 0.0;
    for (const std::size_t i : documents) {
        const auto scored = static_cast<double>(tokens[i]);
        const double apart = method.nll[i] - mean * scored;
        squares += apart * apart;
        count += scored;
    }
    return std::exp(mean) * std::sqrt(n / (n - 1.0) * squares) / count;
}

PairedDifference paired_difference(const MethodScores& method, const MethodScores& reference,
                                   std::span<const std::uint64_t> tokens,
                                   std::span<const std::size_t> documents) {
    std::vector<double> differences;
    for (const std::size_t i : documents) {
        differences.push_back((method.nll[i] - reference.nll[i]) / static_cast<double>(tokens[i]));
    }
    const auto n = static_cast<double>(differences.size());
    const double mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
    double squares = 0.0;
    for (const double difference : differences)
        squares += (difference - mean) * (difference - mean);
    PairedDifference result;
    result.percent = 100.0 * std::expm1(mean);
    result.standard_error = differences.size() < 2
                                ? std::numeric_limits<double>::quiet_NaN()
                                : 100.0 * std::sqrt(squares / (n - 1.0)) / std::sqrt(n);
    return result;
}

std::string reference_of(std::span<const MethodScores> methods) {
    if (methods.size() < 2) return "";
    const auto yarn = std::ranges::find(methods, "yarn", &MethodScores::name);
    return yarn == methods.end() ? methods.front().name : yarn->name;
}

std::string score_table_text(std::span<const MethodScores> methods,
                             std::span<const std::string> titles,
                             std::span<const std::uint64_t> tokens, const std::string& reference) {
    std::vector<DocumentGroup> groups = group_by_source(titles);
    if (groups.size() > 1) {
        DocumentGroup all{"all", std::vector<std::size_t>(titles.size())};
        std::iota(all.documents.begin(), all.documents.end(), std::size_t{0});
        groups.push_back(std::move(all));
    }
    const auto found = std::ranges::find(methods, reference, &MethodScores::name);
    const MethodScores* base = found == methods.end() ? nullptr : &*found;
    std::size_t name_width = 8;
    for (const MethodScores& method : methods)
        name_width = std::max(name_width, method.name.size());
    const std::size_t width = base ? 27 : 9;

    std::string head = fmt::format("{:{}}", "", name_width);
    std::string subhead = fmt::format("{:{}}", "method", name_width);
    std::vector<std::size_t> indents;  // where a heading is wider, the figures stay under its end
    for (const DocumentGroup& group : groups) {
        const std::string title = heading(group);
        const std::size_t wide = std::max(width, characters(title));
        indents.push_back(2 + wide - width);
        head += fmt::format("  {:{}}{}", "", wide - characters(title), title);
        subhead += fmt::format("{:{}}{:>9}", "", indents.back(), "ppl");
        if (base) subhead += fmt::format("{:>18}", fmt::format("vs {}", reference));
    }
    std::string text = head + "\n" + subhead + "\n";
    for (const MethodScores& method : methods) {
        text += fmt::format("{:{}}", method.name, name_width);
        for (std::size_t i = 0; i < groups.size(); ++i) {
            text += fmt::format("{:{}}{}", "", indents[i],
                                cell(method, base, tokens, groups[i].documents));
        }
        text += '\n';
    }
    return text;
}

}  // namespace longrope::cli
