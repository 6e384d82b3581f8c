// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "worker/core_set.hpp"
#include "worker/mpi_session.hpp"
#include "worker/protocol/messages.hpp"
#include "worker/supervisor.hpp"

namespace longrope::worker {

/// How this program is started as an evaluator process.
struct EvaluatorProgram {
    std::string program;
    std::vector<std::string> arguments;
};

/// This rank's share of its node: threads (unless the setup names a number), the cores to run on,
/// and its place among the node's ranks, by which it takes a GPU.
[[nodiscard]] Supervisor::Launch launch_for(const EvaluatorProgram& program, protocol::Setup setup,
                                            int node_rank, const CoreShare& share);

/// The life of a rank that is not the coordinator: waits for a Setup, supervises an evaluator
/// process, passes tasks in and results out, until the coordinator says Stop, falls silent for the
/// watchdog's time or is gone. Does not return after a death in the job: leaves with _exit.
/// @returns the process's exit status; MPI is finalized
int run_mpi_worker(MpiSession& session, const EvaluatorProgram& program);

}  // namespace longrope::worker
