// SPDX-License-Identifier: Apache-2.0
#include "tests/benchmarks/benchmark_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>
#include <utility>

namespace longrope::benchmarks {
namespace {

constexpr double mebibyte = 1048576.0;
constexpr double least_share = 0.005;  // of the time, for a line in the table

double tokens_per_second(const Measurement& found) {
    return static_cast<double>(found.positions) / found.cpu_seconds;
}

/// Of the multiply-adds that the core could have done in that time.
double share_of_peak(double flop, double seconds, double peak_gflops) {
    return seconds > 0.0 ? 1e-9 * flop / seconds / peak_gflops : 0.0;
}

boost::json::object as_object(const Measurement& found) {
    boost::json::array operations;
    for (const auto& [name, cost] : found.operations) {
        operations.push_back(boost::json::object{
            {"name", name},
            {"cpu_seconds", cost.seconds},
            {"flop", cost.flop},
            {"share_of_peak", share_of_peak(cost.flop, cost.seconds, found.peak_gflops)}});
    }
    return {{"precision", found.precision},
            {"positions", found.positions},
            {"wall_seconds", found.wall_seconds},
            {"cpu_seconds", found.cpu_seconds},
            {"tokens_per_cpu_second", tokens_per_second(found)},
            {"sum_nll", found.sum_nll},
            {"scored_tokens", found.positions - 1},
            {"flop", found.flop},
            {"peak_gflops", found.peak_gflops},
            {"share_of_peak", share_of_peak(found.flop, found.cpu_seconds, found.peak_gflops)},
            {"resident_bytes", found.resident_bytes},
            {"estimated_bytes", found.estimated_bytes},
            {"operations", std::move(operations)}};
}

void add_operations(std::string& text, const Measurement& found) {
    std::vector<std::pair<std::string, OperationCost>> slowest(found.operations.begin(),
                                                               found.operations.end());
    std::ranges::sort(slowest, [](const auto& left, const auto& right) {
        return left.second.seconds > right.second.seconds;
    });
    for (const auto& [name, cost] : slowest) {
        if (cost.seconds < least_share * found.cpu_seconds) continue;
        fmt::format_to(std::back_inserter(text), "    {:<12}{:10.1f} ms{:7.1f} %", name,
                       1e3 * cost.seconds, 100.0 * cost.seconds / found.cpu_seconds);
        if (cost.flop > 0.0) {
            fmt::format_to(std::back_inserter(text), "{:9.1f} GFLOP/s, {:.1f} % of the peak",
                           1e-9 * cost.flop / cost.seconds,
                           100.0 * share_of_peak(cost.flop, cost.seconds, found.peak_gflops));
        }
        text += '\n';
    }
}

}  // namespace

std::string as_table(const BenchmarkReport& report) {
    std::string text = fmt::format(
        "{}\n{}, {}; {} ({}), oneDNN {}, {} weights, {} "
        "thread{}\n\n{:>10}{:>11}{:>10}{:>10}{:>10}{:>10}"
        "{:>9}{:>12}{:>12}\n",
        report.cpu, report.model, report.documents.empty() ? "random tokens" : report.documents,
        report.backend, report.instruction_set, report.onednn, report.weights, report.threads,
        report.threads == 1 ? "" : "s", "precision", "positions", "wall s", "CPU s", "tokens/s",
        "GFLOP/s", "of peak", "mean NLL", "memory MiB");
    for (const Measurement& found : report.measurements) {
        fmt::format_to(
            std::back_inserter(text),
            "{:>10}{:>11}{:>10.3f}{:>10.3f}{:>10.0f}{:>10.1f}{:>7.1f} %{:>12.6f}{:>12.0f}\n",
            found.precision, found.positions, found.wall_seconds, found.cpu_seconds,
            tokens_per_second(found), 1e-9 * found.flop / found.cpu_seconds,
            100.0 * share_of_peak(found.flop, found.cpu_seconds, found.peak_gflops),
            found.sum_nll / static_cast<double>(found.positions - 1),
            static_cast<double>(found.resident_bytes) / mebibyte);
    }
    text += "\ntokens/s, GFLOP/s and shares are of CPU time; memory is the most held so far\n";
    for (const Measurement& found : report.measurements) {
        fmt::format_to(std::back_inserter(text),
                       "\n{} positions, {}; the core's peak: {:.1f} GFLOP/s\n", found.positions,
                       found.precision, found.peak_gflops);
        add_operations(text, found);
    }
    return text;
}

std::string as_json(const BenchmarkReport& report) {
    boost::json::array measurements;
    for (const Measurement& found : report.measurements) measurements.push_back(as_object(found));
    return boost::json::serialize(boost::json::object{{"cpu", report.cpu},
                                                      {"model", report.model},
                                                      {"documents", report.documents},
                                                      {"backend", report.backend},
                                                      {"instruction_set", report.instruction_set},
                                                      {"weights", report.weights},
                                                      {"onednn", report.onednn},
                                                      {"threads", report.threads},
                                                      {"measurements", std::move(measurements)}}) +
           "\n";
}

}  // namespace longrope::benchmarks
