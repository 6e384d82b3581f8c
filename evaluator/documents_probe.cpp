// SPDX-License-Identifier: Apache-2.0
#include "evaluator/documents_probe.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include "evaluator/documents.hpp"
#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

namespace {

/// A crash is what this process is for: it leaves neither a core nor the report of a handler.
[[noreturn]] void read_as_child(const std::filesystem::path& file) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    // Of computing, which reading takes little of: HDF5 may go round in circles, too.
    const rlimit a_minute{60, 60};
    ::setrlimit(RLIMIT_CPU, &a_minute);
    for (const int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU}) {
        std::signal(crash, SIG_DFL);
    }
    try {
        const Documents documents{file};
    } catch (...) {
        ::_exit(0);  // it will be thrown again, where it can be caught
    }
    ::_exit(0);
}

}  // namespace

void probe_documents(const std::filesystem::path& file) {
    const pid_t child = ::fork();
    if (child < 0) {
        throw EvaluatorError{fmt::format("{}: cannot start a process to read it: {}", file.string(),
                                         std::generic_category().message(errno))};
    }
    if (child == 0) read_as_child(file);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno == EINTR) continue;
        throw EvaluatorError{fmt::format("{}: cannot wait for the process that reads it: {}",
                                         file.string(), std::generic_category().message(errno))};
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
