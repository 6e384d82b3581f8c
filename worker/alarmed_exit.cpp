// SPDX-License-Identifier: Apache-2.0
#include "worker/alarmed_exit.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstring>

namespace longrope::worker {
namespace {

// What a signal handler can reach.
volatile sig_atomic_t exit_status = 0;
const char* volatile last_words = "";

extern "C" void leave_now(int) {
    [[maybe_unused]] const ssize_t written =
        ::write(STDERR_FILENO, last_words, std::strlen(last_words));
    ::_exit(exit_status);
}

}  // namespace

AlarmedExit::AlarmedExit(std::chrono::seconds patience, int status, const char* message) {
    exit_status = status;
    last_words = message;
    struct sigaction action {};
    action.sa_handler = leave_now;
    ::sigaction(SIGALRM, &action, nullptr);
    ::alarm(static_cast<unsigned>(patience.count()));
}

AlarmedExit::~AlarmedExit() {
    ::alarm(0);
}

}  // namespace longrope::worker
