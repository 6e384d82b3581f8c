// SPDX-License-Identifier: Apache-2.0
#include "coordinator/run_lock.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/atomic_file.hpp"
#include "coordinator/history.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::coordinator;
using longrope::tests::TemporaryFolder;
using std::chrono::milliseconds;

namespace {

/// A process that sleeps until it is ended.
class Child {
public:
    explicit Child(const std::function<int()>& body = [] { return pause(); }) : pid_{fork()} {
        if (pid_ == 0) _exit(body());
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        kill();
        reap();
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    /// Ends it; until reap() it is a zombie.
    void kill() const {
        ::kill(pid_, SIGKILL);
        siginfo_t ignored;
        waitid(P_PID, static_cast<id_t>(pid_), &ignored, WEXITED | WNOWAIT);
    }
    int reap() {
        int status = 0;
        if (!reaped_) waitpid(pid_, &status, 0);
        reaped_ = true;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    pid_t pid_;
    bool reaped_ = false;
};

/// Writes a lock as another coordinator would have left it.
void leave_lock(const std::filesystem::path& folder, const LockOwner& owner) {
    std::ofstream{folder / "lock"}
        << "host=" << owner.host << " pid=" << owner.pid << " process_start=" << owner.process_start
        << " pid_namespace=" << owner.pid_namespace << " job_id=" << owner.job_id
        << " restart_count=" << owner.restart_count << " token=left\n";
}

/// This process's identity under the pid of another.
LockOwner owner_of(pid_t pid) {
    std::ifstream stream{"/proc/" + std::to_string(pid) + "/stat"};
    std::string text;
    std::getline(stream, text, '\0');
    std::istringstream rest{text.substr(text.rfind(')') + 1)};
    std::string field;
    for (int i = 0; i < 20; ++i) rest >> field;
    LockOwner owner = this_process();
    owner.pid = pid;
    owner.process_start = std::stoll(field);
    return owner;
}

LockOwner on_other_host() {
    LockOwner owner = this_process();
    owner.host = "elsewhere";
    return owner;
}

std::string refusal(const std::filesystem::path& folder, const LockOwner& self) {
    try {
        const RunLock lock{folder, self, milliseconds{20}};
    } catch (const RunDirectoryInUse& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a lock holds while it lives and is gone afterwards") {
    const TemporaryFolder folder;
    const std::filesystem::path run = folder.path() / "runs" / "demo";
    {
        const RunLock lock{run, this_process()};
        lock.check();
        lock.touch();
        const LockOwner owner = lock_owner(run).value();
        CHECK(owner.pid == getpid());
        CHECK(owner.process_start == this_process().process_start);
        CHECK(owner.process_start > 0);
        CHECK(owner.token.size() == 32);
        const std::string message = refusal(run, this_process());
        CHECK(message.find(run.string() + " is in use by host " + owner.host + ", process " +
                           std::to_string(getpid())) == 0);
        lock.check();
    }
    CHECK(std::filesystem::is_empty(run));
    CHECK_FALSE(lock_owner(run).has_value());
    CHECK(refusal(run, this_process()).empty());
}

TEST_CASE("the lock of a living process of this host is respected, of a dead one taken over") {
    const TemporaryFolder folder;
    Child child;
    leave_lock(folder.path(), owner_of(child.pid()));
    CHECK(refusal(folder.path(), this_process()).find(std::to_string(child.pid())) !=
          std::string::npos);
    SUBCASE("a zombie holds nothing") {
        child.kill();
    }
    SUBCASE("a reaped process is gone") {
        child.kill();
        child.reap();
    }
    SUBCASE("a reused pid is another process") {
        LockOwner earlier = owner_of(child.pid());
        earlier.process_start -= 1;
        leave_lock(folder.path(), earlier);
    }
    // A patience that would be noticed: the lock is judged without waiting.
    const RunLock lock{folder.path(), this_process(), std::chrono::hours{1}};
    lock.check();
    CHECK(lock_owner(folder.path())->pid == getpid());
}

TEST_CASE("the same job with a lower restart count is gone, wherever it ran") {
    const TemporaryFolder folder;
    LockOwner earlier = on_other_host();
    earlier.job_id = "77";
    leave_lock(folder.path(), earlier);
    LockOwner requeued = this_process();
    requeued.job_id = "77";
    requeued.restart_count = 1;
    {
        // A patience that would be noticed: the lock is judged without waiting.
        const RunLock lock{folder.path(), requeued, std::chrono::hours{1}};
        lock.check();
        CHECK(lock_owner(folder.path())->restart_count == 1);
    }
}

TEST_CASE("a higher restart count of the same job does not outlive its process") {
    const TemporaryFolder folder;
    LockOwner self = this_process();
    self.job_id = "77";
    self.restart_count = 1;
    LockOwner later = self;
    later.restart_count = 3;  // handed on by the environment of the job that submitted it, say
    SUBCASE("here it is asked for") {
        Child child;
        later.pid = child.pid();
        later.process_start = owner_of(child.pid()).process_start;
        leave_lock(folder.path(), later);
        CHECK(refusal(folder.path(), self).find("Slurm job 77 (restart 3)") != std::string::npos);
        child.kill();
        const RunLock lock{folder.path(), self, std::chrono::hours{1}};
        lock.check();
    }
    SUBCASE("elsewhere it is watched") {
        later.host = "elsewhere";
        leave_lock(folder.path(), later);
        int waits = 0;
        const RunLock lock{folder.path(), self, milliseconds{10},
                           [&](const std::string&) { ++waits; }};
        CHECK(waits == 2);
    }
}

TEST_CASE("a lock that is a link into nothing is told of, not waited for") {
    const TemporaryFolder folder;
    std::filesystem::create_symlink("nowhere", folder.path() / "lock");
    CHECK_THROWS_WITH_AS((RunLock{folder.path(), this_process()}),
                         doctest::Contains("lock is a link to nowhere, which does not exist"),
                         HistoryError);
}

TEST_CASE("the lock of another host is watched: touched means alive, untouched twice means dead") {
    const TemporaryFolder folder;
    SUBCASE("untouched") {
        leave_lock(folder.path(), on_other_host());
        std::vector<std::string> told;
        const RunLock lock{folder.path(), this_process(), milliseconds{60},
                           [&](const std::string& text) { told.push_back(text); }};
        lock.check();
        REQUIRE(told.size() == 2);
        CHECK(told[0].find("is locked by host elsewhere") != std::string::npos);
    }
    SUBCASE("touched between") {
        const RunLock other{folder.path(), on_other_host()};
        const auto touch = [&](const std::string&) {
            usleep(20'000);  // beyond the resolution of the kernel's time stamps
            other.touch();
        };
        CHECK_THROWS_AS((RunLock{folder.path(), this_process(), milliseconds{20}, touch}),
                        RunDirectoryInUse);
        other.check();
    }
    SUBCASE("touched after the first wait only") {
        leave_lock(folder.path(), on_other_host());
        int waits = 0;
        const auto touch_late = [&](const std::string&) {
            if (++waits == 2) {
                usleep(20'000);
                utimensat(AT_FDCWD, (folder.path() / "lock").c_str(), nullptr, 0);
            }
        };
        CHECK_THROWS_AS((RunLock{folder.path(), this_process(), milliseconds{50}, touch_late}),
                        RunDirectoryInUse);
    }
    SUBCASE("another container of this host") {
        LockOwner neighbour = this_process();
        neighbour.pid = 999'999'999;  // does not exist here
        neighbour.pid_namespace = "pid:[1]";
        leave_lock(folder.path(), neighbour);
        int waits = 0;
        const RunLock lock{folder.path(), this_process(), milliseconds{10},
                           [&](const std::string&) { ++waits; }};
        CHECK(waits == 2);
    }
}

TEST_CASE("whoever watches a lock can be stopped, and leaves it as it is") {
    const TemporaryFolder folder;
    leave_lock(folder.path(), on_other_host());
    int asked = 0;
    const auto stop = [&]() -> std::optional<std::string> {
        return ++asked < 3 ? std::nullopt : std::optional<std::string>{"SIGINT arrived"};
    };
    CHECK_THROWS_WITH_AS((RunLock{folder.path(), this_process(), std::chrono::hours{1}, {}, stop}),
                         doctest::Contains("SIGINT arrived while the lock of host elsewhere"),
                         WatchStopped);
    CHECK(lock_owner(folder.path()).value().host == "elsewhere");
}

TEST_CASE("a lock that cannot be read is watched like one of another host") {
    const TemporaryFolder folder;
    for (const char* text : {"", "host=a pid=12", "host=a pid=x token=t\n", "something else\n"}) {
        INFO(text);
        std::ofstream{folder.path() / "lock", std::ios::trunc} << text;
        int waits = 0;
        const RunLock lock{folder.path(), this_process(), milliseconds{10},
                           [&](const std::string&) { ++waits; }};
        CHECK(waits == 2);
        lock.check();
    }
}

TEST_CASE("a coordinator whose lock was taken over or removed is told, and touches nothing") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "lock";
    std::optional<RunLock> lock;
    lock.emplace(folder.path(), this_process());
    SUBCASE("taken over") {
        std::filesystem::remove(file);
        leave_lock(folder.path(), on_other_host());
        const auto before = std::filesystem::last_write_time(file);
        CHECK_THROWS_WITH_AS(lock->check(), doctest::Contains("taken over by host elsewhere"),
                             LockLost);
        CHECK_THROWS_AS(lock->touch(), LockLost);
        lock.reset();
        CHECK(lock_owner(folder.path())->host == "elsewhere");
        CHECK(std::filesystem::last_write_time(file) == before);
    }
    SUBCASE("removed") {
        std::filesystem::remove(file);
        CHECK_THROWS_WITH_AS(lock->check(), doctest::Contains("removed"), LockLost);
        CHECK_THROWS_AS(lock->touch(), LockLost);
        lock.reset();
        CHECK(std::filesystem::is_empty(folder.path()));
    }
}

TEST_CASE("touch renews the time stamp") {
    const TemporaryFolder folder;
    const RunLock lock{folder.path(), this_process()};
    const std::filesystem::path file = folder.path() / "lock";
    const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours{1};
    std::filesystem::last_write_time(file, long_ago);
    lock.touch();
    CHECK(std::filesystem::last_write_time(file) > long_ago + std::chrono::minutes{59});
}

TEST_CASE("of many that start at once, exactly one holds the lock") {
    const TemporaryFolder folder;
    SUBCASE("without a lock before") {}
    SUBCASE("over a stale lock") {
        LockOwner dead = this_process();
        dead.process_start -= 1;
        leave_lock(folder.path(), dead);
    }
    constexpr int contenders = 8;
    int ready[2];
    int refused[2];  // gets a byte of each that does not hold the lock in the end
    REQUIRE(pipe(ready) == 0);
    REQUIRE(pipe(refused) == 0);
    const auto contend = [&] {
        char byte = 0;
        close(ready[1]);
        (void)!read(ready[0], &byte, 1);  // returns when the parent closes its end
        const auto refuse = [&](int status) {
            return write(refused[1], &byte, 1) == 1 ? status : 3;
        };
        try {
            const RunLock lock{folder.path(), this_process()};
            remove_stale_temporaries(folder.path());
            // Held until all others were refused, however late they come to their turn.
            for (int others = 0; others < contenders - 1; ioctl(refused[0], FIONREAD, &others)) {
                lock.check();
                std::this_thread::sleep_for(milliseconds{2});
            }
            lock.check();
            return 1;
        } catch (const RunDirectoryInUse&) {
            return refuse(0);
        } catch (const LockLost&) {
            return refuse(0);
        } catch (const std::exception&) {
            return refuse(2);
        }
    };
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < contenders; ++i) children.push_back(std::make_unique<Child>(contend));
    close(ready[0]);
    close(ready[1]);
    int holders = 0;
    for (const auto& child : children) {
        const int result = child->reap();
        CHECK(result <= 1);
        holders += result;
    }
    CHECK(holders == 1);
    close(refused[0]);
    close(refused[1]);
}

TEST_CASE("a lock is never seen without its owner") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "lock";
    std::atomic<bool> ended = false;
    std::uint64_t incomplete = 0;
    std::thread reader{[&] {
        while (!ended) {
            std::ifstream stream{file};
            const std::string text{std::istreambuf_iterator<char>{stream}, {}};
            if (stream.is_open() && !text.ends_with('\n')) ++incomplete;
        }
    }};
    for (int i = 0; i < 300; ++i) const RunLock lock{folder.path(), this_process()};
    ended = true;
    reader.join();
    CHECK(incomplete == 0);
}

TEST_CASE("errors of the file system name errno and path") {
    const TemporaryFolder folder;
    std::ofstream{folder.path() / "file"} << "x";
    CHECK_THROWS_WITH_AS((RunLock{folder.path() / "file" / "run", this_process()}),
                         doctest::Contains("Not a directory (errno 20)"), HistoryError);
}

TEST_CASE("Slurm's environment is part of this process") {
    setenv("SLURM_JOB_ID", "4242", 1);
    setenv("SLURM_RESTART_COUNT", "3", 1);
    const LockOwner self = this_process();
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
    CHECK(self.job_id == "4242");
    CHECK(self.restart_count == 3);
    CHECK(this_process().job_id.empty());
    CHECK(this_process().restart_count == 0);
}
