// SPDX-License-Identifier: Apache-2.0
#include "evaluator/documents_probe.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <system_error>

#include "evaluator/documents.hpp"
#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

namespace {

constexpr unsigned seconds_of_computing = 60;  // reading takes little of it

/// A crash is what this process is for: it leaves neither a core nor the report of a handler. HDF5
/// may go round in circles, too: SIGXCPU ends that, and at the hard limit SIGKILL would.
[[noreturn]] void run_as_child(const std::function<void()>& work, unsigned seconds) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    const rlimit computing{seconds, seconds + 5};
    ::setrlimit(RLIMIT_CPU, &computing);
    for (const int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU}) {
        std::signal(crash, SIG_DFL);
    }
    try {
        work();
    } catch (...) {
        ::_exit(0);  // it will be thrown again, where it can be caught
    }
    ::_exit(0);
}

}  // namespace

int status_of_child(const std::function<void()>& work, unsigned seconds) {
    const pid_t child = ::fork();
    if (child < 0) {
        throw EvaluatorError{
            fmt::format("cannot start a process: {}", std::generic_category().message(errno))};
    }
    if (child == 0) run_as_child(work, seconds);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno == EINTR) continue;
        throw EvaluatorError{
            fmt::format("cannot wait for a process: {}", std::generic_category().message(errno))};
    }
    return status;
}

void probe_documents(const std::filesystem::path& file) {
    int status = 0;
    try {
        status =
            status_of_child([&file] { const Documents documents{file}; }, seconds_of_computing);
    } catch (const EvaluatorError& error) {
        throw EvaluatorError{fmt::format("{}: to read it: {}", file.string(), error.what())};
    }
    if (status != 0) throw EvaluatorError{probe_failure(file, status)};
}

std::string probe_failure(const std::filesystem::path& file, int status) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        return fmt::format(
            "{}: the process that reads the file was killed, as the system does where memory is "
            "short: give this job more, or run fewer ranks on this host",
            file.string());
    }
    const char* const signal =  // strsignal is not thread-safe
        WIFSIGNALED(status) ? ::sigdescr_np(WTERMSIG(status)) : nullptr;
    return fmt::format(
        "{}: damaged: HDF5 crashes when it reads the file ({}); make it again with "
        "scripts/tokenize_documents.py",
        file.string(), signal != nullptr ? std::string{signal} : fmt::format("status {}", status));
}

}  // namespace longrope::evaluator
