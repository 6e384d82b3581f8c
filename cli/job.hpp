// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cli/exit_code.hpp"
#include "worker/mpi_session.hpp"
#include "worker/mpi_worker.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::cli {

/// All ranks of the job this process belongs to; a world of one without an MPI launcher.
class Job {
public:
    Job(int* argc, char*** argv);

    [[nodiscard]] int ranks() const noexcept { return session_ ? session_->size() : 1; }
    [[nodiscard]] bool is_coordinator() const noexcept {
        return !session_ || session_->rank() == 0;
    }
    /// Serves the coordinator until it says stop. For every rank but the coordinator's.
    [[nodiscard]] int work();
    /// Starts the evaluators of all ranks. @throws worker::WorkerError
    [[nodiscard]] protocol::Transport& start_workers(const protocol::Setup& setup,
                                                     double lease_seconds);
    /// Ends the workers, or sends the ranks home if none were started, and leaves MPI. Ends the
    /// process itself where MPI could not be left in good order because a rank has died.
    [[nodiscard]] int leave(ExitCode code);

private:
    std::optional<worker::MpiSession> session_;
    std::unique_ptr<protocol::Transport> transport_;
};

/// This program, started anew as an evaluator process.
[[nodiscard]] worker::EvaluatorProgram evaluator_program();

/// The first word of an evaluator process's command line; the supervisor's pid follows.
inline constexpr const char* evaluator_process_word = "--evaluator-process";

}  // namespace longrope::cli
