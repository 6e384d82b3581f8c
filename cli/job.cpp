// SPDX-License-Identifier: Apache-2.0
#include "cli/job.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "worker/local_transport.hpp"
#include "worker/mpi_transport.hpp"

namespace longrope::cli {

worker::EvaluatorProgram evaluator_program() {
    return {"/proc/self/exe", {evaluator_process_word, std::to_string(::getpid())}};
}

Job::Job(int* argc, char*** argv) {
    if (worker::started_by_mpi_launcher()) session_.emplace(argc, argv);
}

int Job::work() {
    return worker::run_mpi_worker(session_.value(), evaluator_program());
}

protocol::Transport& Job::start_workers(const protocol::Setup& setup, double lease_seconds) {
    const int node_rank = session_ ? session_->node_rank() : 0;
    const std::array alone{worker::CoreSet::of()};
    worker::Supervisor::Launch own =
        worker::launch_for(evaluator_program(), setup, node_rank,
                           session_ ? session_->core_share() : worker::core_share(alone, 0));
    if (session_) {
        const auto lease = std::chrono::duration_cast<worker::MpiTransport::Clock::duration>(
            std::chrono::duration<double>{lease_seconds});
        transport_ =
            std::make_unique<worker::MpiTransport>(*session_, std::move(own), setup, lease);
    } else {
        transport_ = std::make_unique<worker::LocalTransport>(std::move(own));
    }
    return *transport_;
}

int Job::leave(ExitCode code) {
    const int status = static_cast<int>(code);
    bool everybody_lives = true;
    if (transport_) {
        transport_->stop();
        if (const auto* mpi = dynamic_cast<const worker::MpiTransport*>(transport_.get())) {
            everybody_lives = mpi->everybody_lives();
        }
    } else if (session_) {
        worker::dismiss_ranks(*session_);
    }
    if (!session_) return status;
    std::cout.flush();
    std::fflush(nullptr);
    if (!everybody_lives) ::_exit(status);  // MPI_Finalize would wait for the dead
    session_->finalize(status);
    return status;
}

}  // namespace longrope::cli
