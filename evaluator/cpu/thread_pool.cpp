// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/thread_pool.hpp"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cpu {

ThreadPool::ThreadPool(std::uint32_t threads) : threads_{threads} {
    started_.reserve(threads - 1);
    try {
        for (std::uint32_t thread = 1; thread < threads; ++thread) {
            started_.emplace_back([this, thread] { serve(thread); });
        }
    } catch (const std::system_error& error) {
        const std::size_t running = started_.size() + 1;
        stop();  // or those that were started would be waited for in vain
        throw EvaluatorError{
            fmt::format("evaluator.threads = {}: the system lets this process have {}: {}; take "
                        "fewer, or raise the limit on processes (ulimit -u) or memory",
                        threads, running, error.code().message())};
    } catch (...) {
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() {
    stop();
}

void ThreadPool::stop() {
    stopping_ = true;
    round_ += 1;
    round_.notify_all();
}

void ThreadPool::serve(std::uint32_t thread) {
    std::uint32_t seen = 0;
    while (true) {
        round_.wait(seen);
        seen = round_;
        if (stopping_) return;
        take_items(thread);
        if (--busy_ == 0) busy_.notify_one();
    }
}

void ThreadPool::take_items(std::uint32_t thread) {
    try {
        for (std::int64_t item = next_item_++; item < items_; item = next_item_++) {
            (*work_)(item, thread);
        }
    } catch (...) {
        const std::scoped_lock lock{failure_mutex_};
        if (!failure_) failure_ = std::current_exception();
        next_item_ = items_;
    }
}

void ThreadPool::run(std::int64_t items,
                     const std::function<void(std::int64_t, std::uint32_t)>& work) {
    work_ = &work;
    items_ = items;
    next_item_ = 0;
    if (threads_ > 1 && items > 1) {
        busy_ = threads_ - 1;
        round_ += 1;
        round_.notify_all();
        take_items(0);
        for (std::uint32_t left = busy_; left != 0; left = busy_) busy_.wait(left);
    } else {
        take_items(0);
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace longrope::evaluator::cpu
