// SPDX-License-Identifier: Apache-2.0
#include "cli/slurm_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>

#include "cli/arguments.hpp"
#include "cli/reporter.hpp"
#include "coordinator/utc_time.hpp"
#include "worker/child_process.hpp"

namespace longrope::cli {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr seconds longest_margin{180};
constexpr std::int64_t most_seconds =
    10'000'000'000;                        // since 1970 or left: sums stay far from 2^63
constexpr seconds forever{1'000'000'000};  // 31 years: a limit in name only, and in nanoseconds
constexpr std::chrono::milliseconds poll_interval{10};

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::optional<std::int64_t> parse_count(std::string_view text) {
    const auto value = spelled_number<std::int64_t>(text);
    return value && *value >= 0 && *value <= most_seconds ? value : std::nullopt;
}

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// Standard error comes with standard output: the answer is the last line.
std::string_view last_line(std::string_view text) {
    text = trimmed(text);
    return text.substr(text.rfind('\n') + 1);
}

SlurmTimeLeft ask_squeue(const std::string& job, std::chrono::milliseconds patience) {
    const std::string question = fmt::format("squeue -h -j {} -o %L", job);
    const steady_clock::time_point end = steady_clock::now() + patience;
    try {
        // env finds squeue in PATH, and says so when there is none.
        worker::ChildProcess squeue{"/usr/bin/env", {"squeue", "-h", "-j", job, "-o", "%L"}, {}};
        std::optional<std::string> ending = squeue.ended();
        for (; !ending; ending = squeue.ended()) {
            if (steady_clock::now() >= end) {
                squeue.kill();
                return TimeUnknown{fmt::format("{}: no answer within {} s", question,
                                               std::chrono::duration<double>(patience).count())};
            }
            std::this_thread::sleep_for(poll_interval);
            squeue.read_output();
        }
        squeue.read_output();
        const std::string answer{last_line(squeue.output_tail())};
        if (*ending != "exited with status 0") {
            return TimeUnknown{
                fmt::format("{} {}{}{}", question, *ending, answer.empty() ? "" : ": ", answer)};
        }
        SlurmTimeLeft left = parse_time_left(answer);
        if (auto* unknown = std::get_if<TimeUnknown>(&left)) {
            unknown->reason = fmt::format("{}: {}", question, unknown->reason);
        }
        return left;
    } catch (const worker::WorkerError& error) {
        return TimeUnknown{fmt::format("{}: {}", question, error.what())};
    }
}

}  // namespace

std::optional<SlurmJob> slurm_job() {
    SlurmJob job;
    job.id = environment("SLURM_JOB_ID");
    if (job.id.empty()) return std::nullopt;
    const std::string array = environment("SLURM_ARRAY_JOB_ID");
    const std::string task = environment("SLURM_ARRAY_TASK_ID");
    // One task of an array has the array's number as its own, by which squeue lists all of them.
    if (!array.empty() && !task.empty()) job.id = fmt::format("{}_{}", array, task);
    if (const std::string count = environment("SLURM_RESTART_COUNT"); !count.empty()) {
        job.restarts = count;
    }
    job.end_time = environment("SLURM_JOB_END_TIME");
    return job;
}

SlurmTimeLeft find_time_left(const SlurmJob& job, std::chrono::milliseconds patience) {
    const std::optional<std::int64_t> end = parse_count(job.end_time);
    if (!end || *end == 0) return ask_squeue(job.id, patience);
    const seconds left =
        seconds{*end} - std::chrono::duration_cast<seconds>(system_clock::now().time_since_epoch());
    return std::clamp(left, seconds{0}, forever);
}

SlurmTimeLeft parse_time_left(std::string_view text) {
    text = trimmed(text);
    if (text == "UNLIMITED") return NoTimeLimit{};
    TimeUnknown unreadable{fmt::format(
        "it answered \"{}\", expected [days-][[hours:]minutes:]seconds or UNLIMITED", text)};
    std::int64_t days = 0;
    std::string_view clock = text;
    if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
        const auto given = parse_count(text.substr(0, dash));
        if (!given) return unreadable;
        days = *given;
        clock = text.substr(dash + 1);
    }
    std::int64_t total = 0;
    for (int parts = 0;; ++parts) {
        const std::size_t colon = clock.find(':');
        const auto part = parse_count(clock.substr(0, colon));
        if (!part || parts == 3) return unreadable;
        total = total * 60 + *part;
        if (colon == std::string_view::npos) break;
        clock.remove_prefix(colon + 1);
    }
    return std::min(seconds{days * 86'400 + total}, forever);
}

seconds margin_before_end(seconds left) {
    return std::min(left / 10, longest_margin);
}

std::optional<TimePoint> end_of_search(double limit_seconds, TimePoint begin,
                                       std::optional<TimePoint> job) {
    if (limit_seconds <= 0) return job;
    const std::chrono::duration<double> limit{limit_seconds};
    const TimePoint own = begin + std::chrono::duration_cast<TimePoint::duration>(limit) -
                          margin_before_end(std::chrono::duration_cast<seconds>(limit));
    return std::min(own, job.value_or(own));
}

std::string describe(const SlurmJob& job, const SlurmTimeLeft& left) {
    const std::string who = fmt::format("Slurm job {} (restart {})", job.id, job.restarts);
    if (const auto* known = std::get_if<seconds>(&left)) {
        const auto end = coordinator::utc_nanoseconds() + std::chrono::nanoseconds{*known}.count();
        return fmt::format(
            "{} ends at {}, in {}: the search stops {} before that, and begins no task that would "
            "take longer",
            who, coordinator::iso_8601(end), spell_duration(static_cast<double>(known->count())),
            spell_duration(static_cast<double>(margin_before_end(*known).count())));
    }
    if (std::holds_alternative<NoTimeLimit>(left)) return fmt::format("{} has no time limit", who);
    return fmt::format(
        "{}: its end is unknown ({}); a signal or run.time_limit_seconds stops the search", who,
        std::get<TimeUnknown>(left).reason);
}

}  // namespace longrope::cli
