// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/thread_pool.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <numeric>
#include <stdexcept>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cpu {
namespace {

TEST_CASE("every item is worked on exactly once, in round after round") {
    for (const std::uint32_t threads : {1U, 2U, 3U, 8U}) {
        INFO("threads = ", threads);
        ThreadPool pool{threads};
        for (int round = 0; round < 500; ++round) {
            const auto items = static_cast<std::size_t>(round % 17);
            std::vector<int> done(items);
            std::vector<int> by_thread(threads);
            pool.run(static_cast<std::int64_t>(items),
                     [&](std::int64_t item, std::uint32_t thread) {
                         ++done[static_cast<std::size_t>(item)];
                         ++by_thread[thread];
                     });
            REQUIRE(done == std::vector<int>(items, 1));
            REQUIRE(std::accumulate(by_thread.begin(), by_thread.end(), 0) ==
                    static_cast<int>(items));
        }
    }
}

TEST_CASE("items of one round are worked on at the same time by all threads") {
    constexpr std::uint32_t threads = 3;
    ThreadPool pool{threads};
    std::mutex mutex;
    std::condition_variable changed;
    std::uint32_t arrived = 0;
    pool.run(threads, [&](std::int64_t, std::uint32_t) {
        std::unique_lock lock{mutex};
        ++arrived;
        changed.notify_all();
        CHECK(changed.wait_for(lock, std::chrono::minutes{1}, [&] { return arrived == threads; }));
    });
}

TEST_CASE("an exception in a work item reaches the caller and the pool goes on") {
    for (const std::uint32_t threads : {1U, 3U}) {
        ThreadPool pool{threads};
        const auto fail = [](std::int64_t item, std::uint32_t) {
            if (item == 5) throw std::runtime_error{"item 5"};
        };
        CHECK_THROWS_WITH_AS(pool.run(20, fail), "item 5", std::runtime_error);
        std::atomic<int> done = 0;
        pool.run(20, [&](std::int64_t, std::uint32_t) { ++done; });
        CHECK(done == 20);
    }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // shadows take terabytes
TEST_CASE("threads that the system does not give are an error, and those it gave end") {
    std::uint64_t pages = 0;
    std::ifstream{"/proc/self/statm"} >> pages;
    REQUIRE(pages > 0);
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
    rlimit tight = before;
    tight.rlim_cur = (pages << 12U) + (64U << 20U);  // some stacks of 8 MiB
    REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
    std::string reason;
    try {
        const ThreadPool pool{1000};
    } catch (const EvaluatorError& error) {
        reason = error.what();
    }
    setrlimit(RLIMIT_AS, &before);
    CHECK_MESSAGE(reason.find("evaluator.threads = 1000: the system lets this process have ") == 0,
                  reason);
}
#endif

}  // namespace
}  // namespace longrope::evaluator::cpu
