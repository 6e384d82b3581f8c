// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>

namespace longrope::worker {

/// While it lives, descendants whose parent has died become children of this process, so that the
/// test can wait for their end.
class Orphans {
public:
    Orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
    Orphans(const Orphans&) = delete;
    Orphans& operator=(const Orphans&) = delete;
    ~Orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }
};

/// Whether this process has a child, living or zombie.
inline bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace longrope::worker
