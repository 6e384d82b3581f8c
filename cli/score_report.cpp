// SPDX-License-Identifier: Apache-2.0
#include "cli/score_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace longrope::cli {
namespace {

std::string source_of(const std::string& title) {
    const std::size_t space = title.rfind(' ');
    if (space == std::string::npos || title.find('/', space) == std::string::npos) return title;
    return title.substr(0, space);
}

std::string cell(const MethodScores& method, const MethodScores* reference,
                 std::span<const std::uint64_t> tokens, std::span<const std::size_t> documents) {
    std::string text = fmt::format("{:9.3f}", perplexity(method, tokens, documents));
    if (!reference) return text;
    if (reference == &method) return text + fmt::format("{:>18}", "-");
    const PairedDifference difference = paired_difference(method, *reference, tokens, documents);
    std::string shown = fmt::format("{:+.2f}", difference.percent);
    if (documents.size() > 1) shown += fmt::format(" ± {:.2f}", difference.standard_error);
    return text + fmt::format("{:>18}", shown + " %");
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
    for (const DocumentGroup& group : groups) {
        std::string name = fmt::format("{} ({})", group.name, group.documents.size());
        head += fmt::format("  {:>{}}", name, width);
        subhead += fmt::format("  {:>9}", "ppl");
        if (base) subhead += fmt::format("{:>18}", fmt::format("vs {}", reference));
    }
    std::string text = head + "\n" + subhead + "\n";
    for (const MethodScores& method : methods) {
        text += fmt::format("{:{}}", method.name, name_width);
        for (const DocumentGroup& group : groups) {
            // Where a name is wider than the column, the figures stay under its end.
            const std::size_t wide =
                std::max(width, fmt::format("{} ({})", group.name, group.documents.size()).size());
            text += fmt::format("  {:{}}{}", "", wide - width,
                                cell(method, base, tokens, group.documents));
        }
        text += "\n";
    }
    return text;
}

}  // namespace longrope::cli
