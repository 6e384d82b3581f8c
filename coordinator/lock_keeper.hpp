// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "coordinator/run_lock.hpp"

namespace longrope::coordinator {

/// Touches a lock again and again on a thread of its own, so that the event loop never waits for a
/// file system that hangs, and a write that takes long does not make the lock look stale.
class LockKeeper {
public:
    /// @param lock  held, and outlives this
    explicit LockKeeper(const RunLock& lock,
                        std::chrono::milliseconds interval = std::chrono::seconds{10});
    LockKeeper(const LockKeeper&) = delete;
    LockKeeper& operator=(const LockKeeper&) = delete;
    ~LockKeeper();  ///< ends and waits for a touch in progress

    /// Does not wait. @throws what touching the lock threw (LockLost, HistoryError), once for each
    /// failure
    void check();
    /// Touches no more. @returns whether a touch in progress has ended within so long
    [[nodiscard]] bool end(std::chrono::milliseconds at_most);

private:
    void keep();

    const RunLock& lock_;
    std::chrono::milliseconds interval_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ending_ = false;
    bool ended_ = false;
    std::exception_ptr failure_;
    std::thread thread_;  // last: it uses the members above
};

}  // namespace longrope::coordinator
