// SPDX-License-Identifier: Apache-2.0
#include "cli/stop_signals.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "cli/exit_code.hpp"

using namespace longrope::cli;

namespace {

constexpr int went_on = 42;

/// Exit status of a process that catches the signals one after the other.
int status_after(const std::vector<int>& signals) {
    const pid_t child = ::fork();
    if (child == 0) {
        catch_stop_signals();
        for (const int signal : signals) ::raise(signal);
        ::_exit(requested_stop() ? went_on : 0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a second SIGINT ends at once, whatever signal came between") {
    constexpr int ended = static_cast<int>(ExitCode::interrupted_twice);
    CHECK(status_after({}) == 0);
    CHECK(status_after({SIGINT}) == went_on);
    CHECK(status_after({SIGINT, SIGINT}) == ended);
    for (const int between : {SIGUSR1, SIGTERM, SIGHUP}) {
        INFO("signal between = ", between);
        CHECK(status_after({SIGINT, between}) == went_on);
        CHECK(status_after({between, between, SIGINT}) == went_on);
        CHECK(status_after({SIGINT, between, SIGINT}) == ended);
    }
}
