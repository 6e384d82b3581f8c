// SPDX-License-Identifier: Apache-2.0
#include "worker/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "worker/core_set.hpp"

namespace longrope::worker {
namespace {

constexpr std::size_t tail_bytes = 4096;
constexpr std::size_t most_pieces = 64;  // read in one go: some children never stop printing
constexpr int kill_patience_ms = 5000;
constexpr int first_free_descriptor = 10;  // above the numbers that the child's actions assign

[[noreturn]] void fail(std::string_view what, int error = errno) {
    throw WorkerError{fmt::format("cannot {}: {}", what, std::generic_category().message(error))};
}

/// The same open file under a number that the child's actions never overwrite.
Descriptor lift(Descriptor descriptor) {
    const int lifted = ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, first_free_descriptor);
    if (lifted < 0) fail("duplicate a descriptor");
    return Descriptor{lifted};
}

void set_non_blocking(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) fail("set a descriptor");
}

/// posix_spawn's attribute and action objects, destroyed once.
struct SpawnPlan {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};
    SpawnPlan() {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
};

void check(int error, std::string_view what) {
    if (error != 0) fail(what, error);
}

void set_affinity(pid_t pid, const std::vector<int>& cores) {
    if (cores.empty()) return;
    CoreSet set;
    for (const int core : cores) set.insert(core);
    if (!set.bind(pid)) fail("bind the evaluator to its cores");
}

std::string describe(int status) {
    if (WIFEXITED(status)) return fmt::format("exited with status {}", WEXITSTATUS(status));
    const int signal = WTERMSIG(status);
    const char* const description = ::sigdescr_np(signal);  // strsignal is not thread-safe
    return fmt::format("was killed by signal {} ({})", signal,
                       description != nullptr ? description : "a signal without a name");
}

}  // namespace

Descriptor::~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
}

ChildProcess::ChildProcess(const std::string& program, const std::vector<std::string>& arguments,
                           const std::vector<int>& cores) {
    std::array<int, 2> sockets{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
        fail("create a socket pair");
    }
    socket_ = Descriptor{sockets[0]};
    const Descriptor child_end = lift(Descriptor{sockets[1]});
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) fail("create a pipe");
    output_ = Descriptor{pipe[0]};
    const Descriptor child_output = lift(Descriptor{pipe[1]});
    set_non_blocking(socket_.get());
    set_non_blocking(output_.get());

    SpawnPlan plan;
    check(posix_spawn_file_actions_addopen(&plan.actions, 0, "/dev/null", O_RDONLY, 0), "plan");
    check(posix_spawn_file_actions_adddup2(&plan.actions, child_output.get(), 1), "plan");
    check(posix_spawn_file_actions_adddup2(&plan.actions, child_output.get(), 2), "plan");
    check(posix_spawn_file_actions_adddup2(&plan.actions, child_end.get(), child_socket), "plan");
    check(posix_spawn_file_actions_addclosefrom_np(&plan.actions, child_socket + 1), "plan");
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    check(posix_spawnattr_setsigmask(&plan.attributes, &none), "plan");
    check(posix_spawnattr_setsigdefault(&plan.attributes, &all), "plan");
    check(posix_spawnattr_setpgroup(&plan.attributes, 0), "plan");
    check(
        posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF),
        "plan");

    std::vector<std::string> words{program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int error = ::posix_spawn(&pid_, program.c_str(), &plan.actions, &plan.attributes,
                                    argv.data(), environ);
    if (error != 0) {
        pid_ = -1;
        fail(fmt::format("start {}", program), error);
    }
    try {
        set_affinity(pid_, cores);
    } catch (...) {
        kill();  // the destructor does not run for an object that was never complete
        throw;
    }
}

ChildProcess::~ChildProcess() {
    if (!ending_) kill();
}

void ChildProcess::read_output() {
    std::array<char, 4096> piece{};
    for (std::size_t pieces = 0; pieces < most_pieces; ++pieces) {
        const ssize_t got = ::read(output_.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return;
        tail_.append(piece.data(), static_cast<std::size_t>(got));
        if (tail_.size() > tail_bytes) tail_.erase(0, tail_.size() - tail_bytes);
    }
}

std::optional<std::string> ChildProcess::ended() {
    if (ending_) return ending_;
    siginfo_t seen{};
    const int error = ::waitid(P_PID, static_cast<id_t>(pid_), &seen, WEXITED | WNOHANG | WNOWAIT);
    if (error == 0 && seen.si_pid == pid_) {
        ::kill(-pid_, SIGKILL);  // as long as it is not reaped its number names no other group
        int status = 0;
        if (::waitpid(pid_, &status, 0) == pid_) ending_ = describe(status);
    } else if (error != 0 && errno == ECHILD) {
        ending_ = "was reaped elsewhere";
    }
    return ending_;
}

void ChildProcess::begin_kill() {
    if (ending_) return;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);  // the group may not exist yet
}

std::string ChildProcess::kill() {
    begin_kill();
    for (int wait = 0; wait < kill_patience_ms && !ended(); ++wait) ::usleep(1000);
    return ending_.value_or("does not end although it was killed");
}

}  // namespace longrope::worker
