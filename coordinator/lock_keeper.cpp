// SPDX-License-Identifier: Apache-2.0
#include "coordinator/lock_keeper.hpp"

#include <utility>

#include "coordinator/blocked_signals.hpp"

namespace longrope::coordinator {

LockKeeper::LockKeeper(const RunLock& lock, std::chrono::milliseconds interval)
    : lock_{lock}, interval_{interval} {
    const BlockedSignals inherited_by_the_thread;
    thread_ = std::thread{[this] { keep(); }};
}

LockKeeper::~LockKeeper() {
    static_cast<void>(end(std::chrono::milliseconds{0}));
    thread_.join();
}

bool LockKeeper::end(std::chrono::milliseconds at_most) {
    std::unique_lock lock{mutex_};
    ending_ = true;
    changed_.notify_all();
    return changed_.wait_for(lock, at_most, [this] { return ended_; });
}

void LockKeeper::check() {
    std::exception_ptr failure;
    {
        const std::lock_guard lock{mutex_};
        failure = std::exchange(failure_, nullptr);
    }
    if (failure) std::rethrow_exception(failure);
}

void LockKeeper::keep() {
    std::unique_lock lock{mutex_};
    while (!changed_.wait_for(lock, interval_, [this] { return ending_; })) {
        lock.unlock();
        std::exception_ptr thrown;
        try {
            lock_.touch();
        } catch (...) {
            thrown = std::current_exception();
        }
        lock.lock();
        if (thrown) failure_ = thrown;
    }
    ended_ = true;
    changed_.notify_all();
}

}  // namespace longrope::coordinator
