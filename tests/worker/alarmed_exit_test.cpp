// SPDX-License-Identifier: Apache-2.0
#include "worker/alarmed_exit.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

using longrope::worker::AlarmedExit;

namespace {

struct End {
    int status = 0;
    std::string said;  ///< on standard error
};

/// Runs `body` in a process of its own.
template <typename Body>
End end_of(Body body) {
    std::array<int, 2> ends{};
    REQUIRE(pipe(ends.data()) == 0);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body();
        _exit(0);
    }
    close(ends[1]);
    End end;
    std::array<char, 256> piece{};
    for (ssize_t got = 0; (got = read(ends[0], piece.data(), piece.size())) > 0;) {
        end.said.append(piece.data(), static_cast<std::size_t>(got));
    }
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    end.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return end;
}

}  // namespace

TEST_CASE("a call that waits for ever ends the process with status and message when time is up") {
    const End end = end_of([] {
        const AlarmedExit limit{std::chrono::seconds{1}, 7, "too long\n"};
        while (true) pause();
    });
    CHECK(end.status == 7);
    CHECK(end.said == "too long\n");
}

TEST_CASE("a call that is over in time is followed by no alarm") {
    const End end = end_of([] {
        { const AlarmedExit limit{std::chrono::seconds{1}, 7, "too long\n"}; }
        usleep(1'500'000);
    });
    CHECK(end.status == 0);
    CHECK(end.said.empty());
}
