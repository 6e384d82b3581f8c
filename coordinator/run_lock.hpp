// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace longrope::coordinator {

/// The run directory belongs to another coordinator; the message names host, pid and job.
class RunDirectoryInUse : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// This coordinator lost the lock to a later one and must stop without writing.
class LockLost : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Who holds a run directory: one line of key=value pairs in run/lock.
struct LockOwner {
    std::string host;
    std::int64_t pid = 0;
    std::int64_t process_start = 0;  ///< start time of the process in clock ticks since boot: a
                                     ///< reused pid is another process
    std::string job_id;              ///< Slurm job, empty without
    std::int64_t restart_count = 0;  ///< SLURM_RESTART_COUNT, 0 on the first run
    std::string token;               ///< unique per acquisition

    friend bool operator==(const LockOwner&, const LockOwner&) = default;
};

/// What this process is, from the host name, /proc and Slurm's environment.
[[nodiscard]] LockOwner this_process();

/// Holds run/lock. A lock is stale when its process is gone (same host), when it is the same job
/// with a lower restart count, or when untouched twice, `patience` apart.
class RunLock {
public:
    /// Creates the directory if needed. @throws RunDirectoryInUse, HistoryError (errno and path)
    RunLock(const std::filesystem::path& run_directory, LockOwner self,
            std::int64_t patience_seconds = 60);
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;
    ~RunLock();  ///< removes the lock if still ours

    /// Reads the file again. @throws LockLost if it is no longer ours
    void check() const;
    /// Renews the time stamp, so that others on other hosts see it is alive.
    void touch() const;

private:
    std::filesystem::path file_;
    LockOwner self_;
};

}  // namespace longrope::coordinator
