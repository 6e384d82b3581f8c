// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace longrope::cli {

/// The Slurm job that this process belongs to.
struct SlurmJob {
    std::string id;              ///< as squeue takes it; of an array the task: "17_3"
    std::string restarts = "0";  ///< how often it was queued again
    std::string end_time;        ///< SLURM_JOB_END_TIME, seconds since 1970; empty where Slurm
                                 ///< does not give it (22.05 does not)
};

/// From the environment; nothing outside a job.
[[nodiscard]] std::optional<SlurmJob> slurm_job();

struct NoTimeLimit {};
struct TimeUnknown {
    std::string reason;  ///< what was asked and what came back
};
/// How long Slurm lets a job go on.
using SlurmTimeLeft = std::variant<std::chrono::seconds, NoTimeLimit, TimeUnknown>;

/// Takes the end that the environment gives, else asks squeue. Never fails: an answer that does not
/// come, or cannot be read, is a TimeUnknown.
/// @param patience  how long squeue may take before it is killed
[[nodiscard]] SlurmTimeLeft find_time_left(const SlurmJob& job, std::chrono::milliseconds patience);

/// Reads squeue's %L: "[days-][[hours:]minutes:]seconds", "UNLIMITED", and words such as "NOT_SET",
/// "INVALID" and "N/A", which say nothing.
[[nodiscard]] SlurmTimeLeft parse_time_left(std::string_view text);

/// How long before the end of a job its search should be over: long enough for the last snapshot on
/// a slow file system, and to leave before Slurm's warning signal, which drops running tasks. A
/// tenth of what is left, 3 minutes at most.
[[nodiscard]] std::chrono::seconds margin_before_end(std::chrono::seconds left);

using TimePoint = std::chrono::steady_clock::time_point;

/// When a search must be over: by run.time_limit_seconds, less the margin of a job, or by its job.
/// @param limit_seconds  0: no limit
/// @param begin          of the search, from when the limit counts
/// @param job            when it must be over for the job's sake
[[nodiscard]] std::optional<TimePoint> end_of_search(double limit_seconds, TimePoint begin,
                                                     std::optional<TimePoint> job);

/// A line for the log: when the job ends and what the search makes of it.
[[nodiscard]] std::string describe(const SlurmJob& job, const SlurmTimeLeft& left);

}  // namespace longrope::cli
