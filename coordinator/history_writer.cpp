// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_writer.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "coordinator/blocked_signals.hpp"
#include "coordinator/history_file.hpp"

namespace longrope::coordinator {

namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

struct HistoryWriter::State {
    std::filesystem::path file;
    std::function<void()> before_rename;

    mutable std::mutex mutex;
    std::condition_variable changed;
    std::shared_ptr<const RunHistory> waiting;
    std::uint64_t submitted = 0;
    std::uint64_t stored = 0;
    bool writing = false;
    bool ending = false;
    std::exception_ptr failure;  ///< of the last write; empty once a later one succeeded
    bool failure_told = false;   ///< by stored()
    Clock::time_point last_end;
    Clock::duration last_duration{};

    std::thread thread;  // last: it uses the members above

    void run();
    bool failure_untold() const { return failure != nullptr && !failure_told; }
};

void HistoryWriter::State::run() {
    std::unique_lock lock{mutex};
    while (true) {
        changed.wait(lock, [&] { return (waiting != nullptr && !failure_untold()) || ending; });
        if (ending) return;
        std::shared_ptr<const RunHistory> snapshot = std::move(waiting);
        waiting.reset();
        const std::uint64_t sequence = submitted;
        writing = true;
        lock.unlock();

        const Clock::time_point begin = Clock::now();
        std::exception_ptr thrown;
        try {
            write_history(file, *snapshot, before_rename);
        } catch (...) {
            thrown = std::current_exception();
        }
        snapshot.reset();  // freeing a large copy needs no lock

        lock.lock();
        writing = false;
        last_end = Clock::now();
        last_duration = last_end - begin;
        failure = thrown;
        failure_told = false;
        if (!thrown) stored = sequence;
        changed.notify_all();
    }
}

HistoryWriter::HistoryWriter(std::filesystem::path file, std::function<void()> before_rename)
    : state_{std::make_unique<State>()} {
    state_->file = std::move(file);
    state_->before_rename = std::move(before_rename);
    const BlockedSignals inherited_by_the_thread;
    state_->thread = std::thread{[state = state_.get()] { state->run(); }};
}

HistoryWriter::~HistoryWriter() {
    {
        const std::lock_guard lock{state_->mutex};
        state_->ending = true;
    }
    state_->changed.notify_all();
    state_->thread.join();
}

bool HistoryWriter::due(Clock::time_point now) const {
    const std::lock_guard lock{state_->mutex};
    if (state_->waiting != nullptr || state_->writing) return false;
    if (state_->submitted == 0) return true;
    const Clock::duration interval =
        std::min<Clock::duration>(50 * state_->last_duration, std::chrono::seconds{30});
    return now - state_->last_end >= interval;
}

std::uint64_t HistoryWriter::submit(std::shared_ptr<const RunHistory> snapshot) {
    std::shared_ptr<const RunHistory> replaced;  // freed after the lock
    std::uint64_t sequence = 0;
    {
        const std::lock_guard lock{state_->mutex};
        replaced = std::exchange(state_->waiting, std::move(snapshot));
        sequence = ++state_->submitted;
    }
    state_->changed.notify_all();
    return sequence;
}

std::uint64_t HistoryWriter::stored() const {
    const std::lock_guard lock{state_->mutex};
    if (state_->failure_untold()) {
        state_->failure_told = true;
        state_->changed.notify_all();
        std::rethrow_exception(state_->failure);
    }
    return state_->stored;
}

void HistoryWriter::drain() {
    while (!drain(std::chrono::hours{1})) {
    }
}

bool HistoryWriter::drain(std::chrono::milliseconds at_most) {
    std::unique_lock lock{state_->mutex};
    const auto idle = [&] {
        return !state_->writing && (state_->waiting == nullptr || state_->failure_untold());
    };
    if (!state_->changed.wait_for(lock, at_most, idle)) return false;
    if (state_->failure) std::rethrow_exception(state_->failure);
    return true;
}

}  // namespace longrope::coordinator
