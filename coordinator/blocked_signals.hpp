// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

namespace longrope::coordinator {

/// Blocks all signals on the calling thread, and on threads it starts, while it lives: they belong
/// to the event loop.
class BlockedSignals {
public:
    BlockedSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    BlockedSignals(const BlockedSignals&) = delete;
    BlockedSignals& operator=(const BlockedSignals&) = delete;
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

}  // namespace longrope::coordinator
