// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

namespace longrope::worker {

/// The whole life of an evaluator process: reads a Setup from `socket`, loads, says Hello, then
/// scores one Task after the other until the socket closes. Dies with its parent; ignores the
/// signals that end or warn a job, since its supervisor decides. Knows nothing of MPI.
/// @param socket      descriptor of the connection to the supervisor
/// @param supervisor  its process; another parent means that it has died
/// @param build       names this program's build; all ranks of a job run the same
/// @returns the exit status of the process
int run_evaluator_process(int socket, pid_t supervisor, const std::string& build = {});

}  // namespace longrope::worker
