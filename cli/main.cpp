// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>

#include "cli/arguments.hpp"
#include "cli/devices_command.hpp"
#include "cli/estimate_command.hpp"
#include "cli/evaluate_command.hpp"
#include "cli/exit_code.hpp"
#include "cli/export_command.hpp"
#include "cli/init_command.hpp"
#include "cli/job.hpp"
#include "cli/machine.hpp"
#include "cli/search_command.hpp"
#include "cli/standard_error.hpp"
#include "cli/status_command.hpp"
#include "cli/stop_signals.hpp"
#include "cli/verify_command.hpp"
#include "cli/version.hpp"
#include "worker/child_process.hpp"
#include "worker/evaluator_process.hpp"

namespace {

using namespace longrope::cli;  // main is this room's front door

constexpr std::string_view usage = R"(longrope: evolutionary search for LongRoPE rescale factors

usage: longrope VERB [ARGUMENTS]

  search CONFIG      search, or go on with a search (--check: only validate and estimate)
  evaluate           perplexity of methods at several lengths, or over sliding windows
  export             write the factors as inference engines load them, and check that
  status DIRECTORY   how far a search is, while it runs or after
  verify DIRECTORY   whether a history follows from its seed and its document scores
  estimate CONFIG    what a search would take on GPUs that need not be there
  devices            what this machine offers to evaluators
  init               write a commented configuration for a model and documents

  longrope VERB --help says more; --version names version and commit.

exit status: 0 done, 1 internal or system error, 2 usage, 3 configuration,
  4 damaged or mismatching file, 5 no worker, no parents or no child left,
  6 waiting for the model of a stage, 7 run directory in use,
  75 stopped early: run again, 130 second SIGINT
)";

ExitCode report_error() {
    print_error("longrope: {}\n", message_of_current_exception());
    return exit_code_of_current_exception();
}

/// What a verb ended with, unless what it printed is lost, on a full disk for example: then "done"
/// would be a lie. Codes that say more stay: a job is queued again by them.
ExitCode after_output(ExitCode code) {
    std::cout.flush();
    errno = 0;
    const bool written = std::fflush(stdout) == 0 && std::cout.good() && std::ferror(stdout) == 0;
    if (written) return code;
    const int reason = errno;  // 0 if an earlier write failed
    print_error("longrope: cannot write standard output{}\n",
                reason == 0 ? std::string{": is its disk full?"}
                            : fmt::format(": {}", std::strerror(reason)));
    return code == ExitCode::done ? ExitCode::system_error : code;
}

/// Whether a verb runs on all ranks of a job.
bool runs_on_ranks(std::string_view verb) {
    return verb == "search" || verb == "evaluate" || verb == "export";
}

/// Gives closed standard streams their numbers back: the next file or socket would get one, and
/// what is printed would be written into it. Printing to a stream that was closed still fails.
void occupy_closed_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) != -1) continue;
        static_cast<void>(::open("/dev/null", O_RDONLY));  // the lowest number that is free
    }
}

int run_job(int argc, char** argv, std::string_view verb, const Words& words) {
    // Before MPI begins, which takes a while: a signal stops a search in good order from the start.
    if (verb == "search") catch_stop_signals();
    Job job{&argc, &argv};
    if (!job.is_coordinator()) return job.work();
    ExitCode code = ExitCode::done;
    try {
        if (verb == "search") {
            code = run_search(job, words);
        } else {
            code = verb == "evaluate" ? run_evaluate(job, words) : run_export(job, words);
        }
    } catch (...) {
        code = report_error();
    }
    return job.leave(after_output(code));
}

ExitCode run_alone(std::string_view verb, const Words& words) {
    if (verb == "status") return run_status(words);
    if (verb == "verify") return run_verify(words);
    if (verb == "init") return run_init(words);
    if (verb == "estimate") return run_estimate(words);
    if (verb == "devices") return run_devices(words);
    if (verb == "--version") {
        std::cout << fmt::format("longrope {} ({})\n", program_version(), program_commit());
        return ExitCode::done;
    }
    if (verb == "--help" || verb == "-h" || verb == "help") {
        std::cout << usage;
        return ExitCode::done;
    }
    if (verb.empty()) {
        std::cerr << usage;
    } else {
        print_error(
            "longrope: unknown verb \"{}\"; there are search, evaluate, export, status, "
            "verify, estimate, devices and init\n",
            verb);
    }
    return ExitCode::usage;
}

int run(int argc, char** argv) {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    const Words words{argv + (argc > 1 ? 2 : 1), argv + argc};
    if (runs_on_ranks(verb)) return run_job(argc, argv, verb, words);
    return static_cast<int>(after_output(run_alone(verb, words)));
}

}  // namespace

int main(int argc, char** argv) {
    occupy_closed_streams();
    // Closing everything at exit, HDF5 1.10 may loop over what a damaged file left behind.
    H5dont_atexit();
    // Beyond a limit of file sizes a write fails like one on a full disk; it does not end us.
    std::signal(SIGXFSZ, SIG_IGN);
    undo_openmp_binding();
    // An evaluator process is this program started anew; it must not come near MPI.
    if (argc == 3 && std::string_view{argv[1]} == evaluator_process_word) {
        constexpr pid_t nobody = 0;
        return longrope::worker::run_evaluator_process(
            longrope::worker::child_socket, spelled_number<pid_t>(argv[2]).value_or(nobody),
            program_commit());
    }
    try {
        return run(argc, argv);
    } catch (...) {
        return static_cast<int>(report_error());
    }
}
