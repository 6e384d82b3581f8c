// SPDX-License-Identifier: Apache-2.0
#include "coordinator/lock_keeper.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::coordinator;
using longrope::tests::TemporaryFolder;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds often{5};

bool comes_true(const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes{2};
    while (std::chrono::steady_clock::now() < give_up) {
        if (condition()) return true;
        std::this_thread::sleep_for(milliseconds{1});
    }
    return false;
}

}  // namespace

TEST_CASE("the time stamp of a lock is renewed without anyone's doing") {
    const TemporaryFolder folder;
    const RunLock lock{folder.path(), this_process()};
    const auto file = folder.path() / "lock";
    LockKeeper keeper{lock, often};
    auto seen = std::filesystem::last_write_time(file);
    for (int renewed = 0; renewed < 3; ++renewed) {
        REQUIRE(comes_true([&] { return std::filesystem::last_write_time(file) > seen; }));
        seen = std::filesystem::last_write_time(file);
        CHECK_NOTHROW(keeper.check());
    }
}

TEST_CASE("a lock that is lost is told once, to whoever asks, and another's is left alone") {
    const TemporaryFolder folder;
    const RunLock lock{folder.path(), this_process()};
    LockKeeper keeper{lock, often};
    const auto file = folder.path() / "lock";
    LockOwner other = this_process();
    other.host = "elsewhere";
    std::filesystem::remove(file);
    const RunLock theirs{folder.path(), other};
    const auto stamp = std::filesystem::last_write_time(file);
    REQUIRE(comes_true([&] {
        try {
            keeper.check();
            return false;
        } catch (const LockLost&) {
            return true;
        }
    }));
    CHECK(std::filesystem::last_write_time(file) == stamp);
}

TEST_CASE("a keeper that is no longer wanted ends at once, whatever its interval") {
    const TemporaryFolder folder;
    const RunLock lock{folder.path(), this_process()};
    LockKeeper keeper{lock, std::chrono::hours{1}};
    CHECK(keeper.end(std::chrono::minutes{2}));
    CHECK(keeper.end(milliseconds{0}));
    const LockKeeper unasked{lock, std::chrono::hours{1}};
}
