// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>

namespace longrope::worker {

/// Notices the end of another process of this host, a zombie's included, by its pidfd: the number
/// being used again deceives nobody.
class ProcessWatch {
public:
    /// @returns nothing if there is no such process, or the system has no pidfd
    [[nodiscard]] static std::optional<ProcessWatch> of(pid_t pid);
    ProcessWatch(ProcessWatch&& other) noexcept;
    ProcessWatch& operator=(ProcessWatch&& other) noexcept;
    ProcessWatch(const ProcessWatch&) = delete;
    ProcessWatch& operator=(const ProcessWatch&) = delete;
    ~ProcessWatch();

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] bool ended() const;

private:
    ProcessWatch(pid_t pid, int descriptor) : pid_{pid}, descriptor_{descriptor} {}

    pid_t pid_;
    int descriptor_;  ///< -1: moved from
};

}  // namespace longrope::worker
