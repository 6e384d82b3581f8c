// SPDX-License-Identifier: Apache-2.0
#include "cli/reporter.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "cli/arguments.hpp"
#include "cli/progress_line.hpp"
#include "cli/standard_error.hpp"
#include "coordinator/tasks_left.hpp"

namespace longrope::cli {
namespace {

constexpr std::uint64_t tasks_before_an_estimate = 4;

}  // namespace

ProgressStyle progress_style(const std::string& text) {
    if (text == "bar") return ProgressStyle::bar;
    if (text == "lines") return ProgressStyle::lines;
    if (text != "auto") {
        throw UsageError{fmt::format("--progress {}: expected auto, bar or lines", text)};
    }
    return ::isatty(STDERR_FILENO) != 0 ? ProgressStyle::bar : ProgressStyle::lines;
}

std::string spell_duration(double seconds) {
    const auto whole = static_cast<std::uint64_t>(std::llround(std::max(seconds, 0.0)));
    if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
    if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
    return fmt::format("{} s", whole);
}

Reporter::Reporter(ProgressStyle style, std::filesystem::path log_file,
                   std::chrono::duration<double> stored_interval)
    : style_{style}, log_{std::move(log_file)}, stored_interval_{stored_interval} {}

Reporter::~Reporter() {
    clear_bar();
}

void Reporter::clear_bar() {
    if (bar_.empty()) return;
    print_error("\r{:{}}\r", "", bar_.size());
    bar_.clear();
}

void Reporter::log(const std::string& line) {
    clear_bar();
    print_error("{}\n", line);
    log_.append(line);
}

void Reporter::conclude(const std::string& line) {
    log(line);
    log_.drain();
}

void Reporter::stored(std::uint64_t document_scores) {
    const bool news = document_scores > std::exchange(stored_, document_scores);
    const auto now = std::chrono::steady_clock::now();
    if (!news || (told_at_ && now - *told_at_ < stored_interval_)) return;
    told_at_ = now;
    log_.append(fmt::format("stored {} document scores", document_scores));
}

void Reporter::generation(const coordinator::StageRun& stage,
                          const coordinator::GenerationRow& row) {
    std::string line = fmt::format("generation {}/{}  best {:.4f} ppl  evaluated {}  failed {}",
                                   row.generation, stage.plan().settings.iterations,
                                   row.best_perplexity, row.evaluated, row.failed);
    if (row.skipped > 0) line += fmt::format("  skipped {}", row.skipped);
    if (!time_left_.empty()) line += fmt::format("  left {}", time_left_);
    log(line);
}

void Reporter::progress(const coordinator::Progress& progress) {
    const std::uint64_t scored = progress.stage.scored();
    const std::uint64_t left =
        coordinator::tasks_left(progress.stage.plan(), progress.stage.history());
    time_left_.clear();
    if (progress.computed >= tasks_before_an_estimate) {
        const double rate = static_cast<double>(progress.computed) / progress.seconds;
        time_left_ = spell_duration(static_cast<double>(left) / rate);
    }
    if (style_ != ProgressStyle::bar) return;
    const auto& best = progress.stage.history().best;
    ProgressFigures figures{scored, left, progress.workers, std::nullopt, time_left_};
    if (best.individual >= 0) figures.best_perplexity = best.perplexity;
    const std::size_t width = terminal_width() - 1;  // in the last column the cursor might wrap
    std::string bar = progress_line(figures, width);
    const std::size_t old = std::min(bar_.size(), width);
    print_error("\r{:{}}", bar, std::max(old, bar.size()));
    std::fflush(stderr);
    bar_ = std::move(bar);
}

}  // namespace longrope::cli
