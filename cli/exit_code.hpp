// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace longrope::cli {

/// What the process's exit status says; documented in README and `--help`.
enum class ExitCode : int {
    done = 0,
    system_error = 1,  ///< internal or system error
    usage = 2,
    configuration = 3,
    bad_file = 4,     ///< damaged or mismatching history, model or documents
    nobody_left = 5,  ///< no worker, no parents or no child left
    waiting = 6,      ///< the model of a stage does not exist yet
    directory_in_use = 7,
    stopped_early = 75,  ///< run the same command again
    interrupted_twice = 130
};

/// Sorts an exception into the code that the process ends with.
/// To be called inside a catch block.
[[nodiscard]] ExitCode exit_code_of_current_exception();

/// The current exception's message. To be called inside a catch block.
[[nodiscard]] const char* message_of_current_exception();

}  // namespace longrope::cli
