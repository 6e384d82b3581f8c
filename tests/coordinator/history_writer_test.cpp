// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_writer.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "coordinator/history_file.hpp"
#include "tests/coordinator/sample_history.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::coordinator;
using longrope::tests::TemporaryFolder;

namespace {

using Clock = std::chrono::steady_clock;

std::shared_ptr<const RunHistory> snapshot(std::uint64_t seed) {
    auto history = std::make_shared<RunHistory>(sample_history());
    history->seed = seed;
    return history;
}

/// Holds the writer before its rename until opened: a disk as slow as the test likes.
class Gate {
public:
    void pass() {
        std::unique_lock lock{mutex_};
        ++arrivals_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return open_; });
    }
    void open() {
        const std::lock_guard lock{mutex_};
        open_ = true;
        changed_.notify_all();
    }
    void wait_for_arrival() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return arrivals_ > 0; });
    }
    [[nodiscard]] int arrivals() {
        const std::lock_guard lock{mutex_};
        return arrivals_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    int arrivals_ = 0;
};

}  // namespace

TEST_CASE("what was submitted is durable after drain, and stored says so") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    HistoryWriter writer{file, {}};
    CHECK(writer.stored() == 0);
    CHECK(writer.submit(snapshot(11)) == 1);
    writer.drain();
    CHECK(writer.stored() == 1);
    CHECK(writer.submit(snapshot(12)) == 2);
    writer.drain();
    CHECK(writer.stored() == 2);
    CHECK(read_history(file)->seed == 12);
}

TEST_CASE(
    "the event loop never waits for a slow write, and the newest snapshot replaces one that "
    "waits") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    Gate gate;
    HistoryWriter writer{file, [&] { gate.pass(); }};
    writer.submit(snapshot(1));
    gate.wait_for_arrival();
    // The writer stands still now; were any of these calls to wait for it, the test would hang.
    for (std::uint64_t seed = 2; seed <= 50; ++seed) {
        CHECK(writer.submit(snapshot(seed)) == seed);
        CHECK(writer.stored() == 0);
        CHECK_FALSE(writer.due(Clock::now() + std::chrono::hours{1}));
    }
    CHECK_FALSE(writer.drain(std::chrono::milliseconds{1}));
    CHECK_FALSE(std::filesystem::exists(file));
    gate.open();
    writer.drain();
    CHECK(writer.drain(std::chrono::milliseconds{1}));
    CHECK(writer.stored() == 50);
    CHECK(gate.arrivals() == 2);
    CHECK(read_history(file)->seed == 50);
}

TEST_CASE("the end waits for a write in progress and leaves out what still waits") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    Gate gate;
    std::thread opener;
    {
        HistoryWriter writer{file, [&] { gate.pass(); }};
        writer.submit(snapshot(1));
        gate.wait_for_arrival();
        writer.submit(snapshot(2));
        opener = std::thread{[&] {
            std::this_thread::sleep_for(std::chrono::milliseconds{50});
            gate.open();
        }};
    }
    opener.join();
    CHECK(read_history(file)->seed == 1);
}

TEST_CASE("the interval follows the duration of the last write, up to 30 s") {
    const TemporaryFolder folder;
    std::atomic<int> milliseconds = 20;
    HistoryWriter writer{
        folder.path() / "search.h5",
        [&] { std::this_thread::sleep_for(std::chrono::milliseconds{milliseconds.load()}); }};
    // Counted from before the write, for what must not be due: whatever the machine does meanwhile.
    Clock::time_point begin = Clock::now();
    CHECK(writer.due(begin));
    writer.submit(snapshot(1));
    writer.drain();
    CHECK_FALSE(writer.due(begin));
    CHECK_FALSE(writer.due(begin + std::chrono::seconds{1}));  // 50 times 20 ms at least
    CHECK(writer.due(Clock::now() + std::chrono::seconds{30}));
    milliseconds = 1000;  // 50 s by the rule, so 30 s
    begin = Clock::now();
    writer.submit(snapshot(2));
    writer.drain();
    CHECK_FALSE(writer.due(begin + std::chrono::seconds{30}));
    CHECK(writer.due(Clock::now() + std::chrono::seconds{30}));
}

TEST_CASE("a failed write surfaces in stored once and in drain until one succeeds") {
    const TemporaryFolder folder;
    const std::filesystem::path run = folder.path() / "run";
    std::filesystem::create_directory(run);
    HistoryWriter writer{run / "search.h5", {}};
    writer.submit(snapshot(1));
    writer.drain();

    std::filesystem::remove_all(run);
    writer.submit(snapshot(2));
    CHECK_THROWS_WITH_AS(writer.drain(), doctest::Contains("No such file or directory (errno 2)"),
                         HistoryError);
    CHECK_THROWS_AS((void)writer.stored(), HistoryError);
    CHECK(writer.stored() == 1);
    CHECK_THROWS_AS(writer.drain(), HistoryError);

    std::filesystem::create_directory(run);
    writer.submit(snapshot(3));
    writer.drain();
    CHECK(writer.stored() == 3);
}

TEST_CASE("a failed write is told, though a newer snapshot waits that would succeed") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    Gate gate;
    std::atomic<int> writes = 0;
    HistoryWriter writer{file, [&] {
                             gate.pass();
                             if (++writes == 1) throw std::domain_error{"the disk hiccups"};
                         }};
    writer.submit(snapshot(1));
    gate.wait_for_arrival();
    writer.submit(snapshot(2));
    gate.open();
    CHECK_THROWS_AS(writer.drain(), std::domain_error);
    CHECK_THROWS_AS((void)writer.stored(), std::domain_error);
    writer.drain();  // told, and so passed over
    CHECK(writer.stored() == 2);
    CHECK(read_history(file)->seed == 2);
}

TEST_CASE("an exception of before_rename arrives as it was thrown") {
    const TemporaryFolder folder;
    HistoryWriter writer{folder.path() / "search.h5", [] { throw std::domain_error{"lost"}; }};
    writer.submit(snapshot(1));
    CHECK_THROWS_AS(writer.drain(), std::domain_error);
    CHECK_THROWS_AS((void)writer.stored(), std::domain_error);
    CHECK(std::filesystem::is_empty(folder.path()));
}
