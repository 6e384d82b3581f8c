// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace longrope::worker {

/// While it lives, the process has this long before it ends: for calls that may wait for ever and
/// cannot be interrupted. Uses SIGALRM, so there may be one at a time.
class AlarmedExit {
public:
    /// @param status   of the process, if it comes to that
    /// @param message  for standard error; must live as long
    AlarmedExit(std::chrono::seconds patience, int status, const char* message = "");
    AlarmedExit(const AlarmedExit&) = delete;
    AlarmedExit& operator=(const AlarmedExit&) = delete;
    ~AlarmedExit();
};

}  // namespace longrope::worker
