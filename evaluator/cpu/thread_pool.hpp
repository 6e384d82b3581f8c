// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace longrope::evaluator::cpu {

/// A fixed team of threads, the calling one among them, that shares out independent work items.
/// Which thread takes an item is left to chance, so items must not depend on each other.
class ThreadPool {
public:
    /// @param threads  at least 1; threads - 1 are started
    /// @throws EvaluatorError if the system does not give as many
    explicit ThreadPool(std::uint32_t threads);
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;
    ~ThreadPool();

    [[nodiscard]] std::uint32_t threads() const noexcept { return threads_; }

    /// Calls work(item, thread) for each item in [0, items), thread in [0, threads()), and returns
    /// when all are done. One call at a time. The first exception thrown by `work` is rethrown.
    void run(std::int64_t items, const std::function<void(std::int64_t, std::uint32_t)>& work);

private:
    void serve(std::uint32_t thread);
    void take_items(std::uint32_t thread);
    void stop();

    std::uint32_t threads_;
    const std::function<void(std::int64_t, std::uint32_t)>* work_ = nullptr;
    std::int64_t items_ = 0;
    std::atomic<std::int64_t> next_item_ = 0;
    std::atomic<std::uint32_t> round_ = 0;  // raised when work is ready
    std::atomic<std::uint32_t> busy_ = 0;   // started threads still at work in this round
    std::atomic<bool> stopping_ = false;
    std::mutex failure_mutex_;
    std::exception_ptr failure_;
    std::vector<std::jthread> started_;  // last: threads use everything above
};

}  // namespace longrope::evaluator::cpu
