// SPDX-License-Identifier: Apache-2.0
#include "cli/stop_signals.hpp"

#include <signal.h>
#include <unistd.h>

#include "cli/exit_code.hpp"

namespace longrope::cli {
namespace {

// All that a signal handler can reach: flags of the process.
volatile sig_atomic_t caught = 0;       // the last signal
volatile sig_atomic_t interrupted = 0;  // whether SIGINT was one, whatever came after it

extern "C" void note_signal(int signal) {
    if (signal == SIGINT) {
        if (interrupted != 0) ::_exit(static_cast<int>(ExitCode::interrupted_twice));
        interrupted = 1;
    }
    caught = signal;
}

void handle_stop_signals(void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::sigaction(signal, &action, nullptr);
    // Under nohup the end of a terminal is ignored.
    struct sigaction before {};
    ::sigaction(SIGHUP, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(SIGHUP, &action, nullptr);
}

}  // namespace

void catch_stop_signals() {
    handle_stop_signals(note_signal);
    ::signal(SIGPIPE, SIG_IGN);  // a reader that goes away ends no search; writing fails instead
}

void release_stop_signals() {
    handle_stop_signals(SIG_DFL);
    ::signal(SIGPIPE, SIG_DFL);
    if (caught != 0) ::raise(caught);
}

std::optional<std::string> requested_stop() {
    switch (caught) {
        case SIGINT:
            return "interrupted (SIGINT)";
        case SIGHUP:
            return "the terminal is gone (SIGHUP)";
        case SIGTERM:
            return "asked to end (SIGTERM)";
        case SIGUSR1:
            return "asked to stop (SIGUSR1)";
        default:
            return std::nullopt;
    }
}

}  // namespace longrope::cli
