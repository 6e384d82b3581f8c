// SPDX-License-Identifier: Apache-2.0
#include "worker/process_watch.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <utility>

using longrope::worker::ProcessWatch;

namespace {

pid_t sleeping_child() {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(60);
        ::pause();
        ::_exit(0);
    }
    return pid;
}

bool ends_soon(const ProcessWatch& watch) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (!watch.ended() && std::chrono::steady_clock::now() < end) ::usleep(1000);
    return watch.ended();
}

}  // namespace

TEST_CASE("the end of a process is noticed before anybody has reaped it") {
    const pid_t pid = sleeping_child();
    REQUIRE(pid > 0);
    auto watch = ProcessWatch::of(pid);
    REQUIRE(watch.has_value());
    CHECK(watch->pid() == pid);
    CHECK_FALSE(watch->ended());
    ProcessWatch moved = std::move(*watch);
    CHECK_FALSE(moved.ended());
    ::kill(pid, SIGKILL);
    CHECK(ends_soon(moved));
    REQUIRE(::waitpid(pid, nullptr, 0) == pid);
    CHECK(moved.ended());
}

TEST_CASE("a process that is not there cannot be watched") {
    const pid_t pid = sleeping_child();
    REQUIRE(pid > 0);
    ::kill(pid, SIGKILL);
    REQUIRE(::waitpid(pid, nullptr, 0) == pid);
    CHECK_FALSE(ProcessWatch::of(pid).has_value());
}
