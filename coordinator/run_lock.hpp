// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
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

/// Who holds a run directory: one line of key=value pairs in run/lock, which appears with its line.
struct LockOwner {
    std::string host;
    std::int64_t pid = 0;
    std::int64_t process_start = 0;  ///< start time of the process in clock ticks since boot: a
                                     ///< reused pid is another process
    std::string job_id;              ///< Slurm job, empty without
    std::int64_t restart_count = 0;  ///< SLURM_RESTART_COUNT, 0 on the first run
    std::string token;               ///< unique per acquisition; RunLock draws it
    std::string pid_namespace;       ///< where the pid counts: containers may share a host name

    friend bool operator==(const LockOwner&, const LockOwner&) = default;
};

/// What this process is, from the host name, /proc and Slurm's environment.
[[nodiscard]] LockOwner this_process();

/// Who holds a run directory, for `status`; nullopt if nobody does or the lock is being written.
/// @throws HistoryError (errno and path)
[[nodiscard]] std::optional<LockOwner> lock_owner(const std::filesystem::path& run_directory);

/// For people: "host a, process 7, Slurm job 3 (restart 0)".
[[nodiscard]] std::string describe(const LockOwner& owner);

/// What can be said about the owner of a lock from here and now.
enum class Holder {
    gone,    ///< its process ended, or it is the same job with a lower restart count
    alive,   ///< its process runs on this host, or it is a later start of the same job
    unknown  ///< on another host or in another container: only the time stamp can tell
};

/// @param self  this_process(), or the identity to judge by
[[nodiscard]] Holder holder_state(const LockOwner& owner, const LockOwner& self);

/// Whoever watched the lock of another was asked to stop; nothing was taken or written.
class WatchStopped : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Holds run/lock. A lock is stale when its process is gone (same host), when it is the same job
/// with a lower restart count, or when its time stamp stood still through two waits of `patience`.
/// Two coordinators that take over the same stale lock at once both may get this far; check()
/// tells the one whose lock was replaced, so call it before each rename.
class RunLock {
public:
    /// Creates the directory if needed. A lock of another host or one that cannot be read is
    /// watched for up to 2 * patience; each wait is announced to `waiting` first.
    /// @param stop_reason  why to stop watching, or nothing
    /// @throws RunDirectoryInUse, WatchStopped, HistoryError (errno and path)
    RunLock(const std::filesystem::path& run_directory, LockOwner self,
            std::chrono::milliseconds patience = std::chrono::seconds{60},
            const std::function<void(const std::string&)>& waiting = {},
            const std::function<std::optional<std::string>()>& stop_reason = {});
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;
    ~RunLock();  ///< removes the lock if still ours

    /// Reads the file again. @throws LockLost if it is no longer ours, HistoryError
    void check() const;
    /// Renews the time stamp, so that others on other hosts see it is alive: call it several times
    /// within `patience`. Never renews another's lock. @throws LockLost, HistoryError
    void touch() const;

private:
    std::filesystem::path file_;
    LockOwner self_;
};

}  // namespace longrope::coordinator
