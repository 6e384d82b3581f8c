// SPDX-License-Identifier: Apache-2.0
#include "worker/mpi_worker.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "worker/local_transport.hpp"
#include "worker/process_watch.hpp"

namespace longrope::worker {
namespace {

constexpr int coordinator_rank = 0;
constexpr std::chrono::milliseconds busy_wait{1};
constexpr std::chrono::milliseconds idle_wait{5};

/// The job's signals are the coordinator's business: it tells us to stop.
void ignore_job_signals() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGPIPE}) {
        ::sigaction(signal, &ignore, nullptr);
    }
}

class MpiWorker {
public:
    MpiWorker(MpiSession& session, const EvaluatorProgram& program)
        : session_{session}, program_{program} {}

    /// @returns whether every rank lives, so that MPI can be finalized
    bool run() {
        const pid_t launcher = ::getppid();
        std::optional<ProcessWatch> coordinator;
        if (const auto pid = session_.process_of(coordinator_rank)) {
            coordinator = ProcessWatch::of(*pid);
        }
        while (!ended_) {
            const auto now = std::chrono::steady_clock::now();
            discount_pause(now);
            bool moved = receive();
            if (ended_) break;
            moved = supervise() || moved;
            to_coordinator_.progress();
            if (!to_coordinator_.failure().empty()) throw WorkerError{to_coordinator_.failure()};
            if (::getppid() != launcher) return false;
            if (now - last_word_ > watchdog_) {
                const double silence = std::chrono::duration<double>(watchdog_).count();
                std::fprintf(stderr,
                             "longrope: rank %d ends: no word from the coordinator for %g s\n",
                             session_.rank(), silence);
                return false;
            }
            if (!moved) {
                if (coordinator && coordinator->ended()) return false;
                wait_readable(supervisor_ ? supervisor_->descriptors() : std::vector<int>{},
                              tasks_ > 0 ? busy_wait : idle_wait);
            }
        }
        return finalize_;
    }

private:
    /// Time in which this process did not run at all (a suspended job) is nobody's silence.
    void discount_pause(std::chrono::steady_clock::time_point now) {
        const auto pause = now - last_turn_;
        if (pause > watchdog_ / 2) last_word_ = std::min(now, last_word_ + pause);
        last_turn_ = now;
    }

    bool receive() {
        bool moved = false;
        while (auto received = receive_arrived()) {
            moved = true;
            if (received->source != coordinator_rank) continue;
            last_word_ = std::chrono::steady_clock::now();
            protocol::Message message = protocol::decode(received->frame);
            if (auto* setup = std::get_if<protocol::Setup>(&message)) {
                watchdog_ = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                    std::chrono::duration<double>{setup->watchdog_seconds});
                if (supervisor_) {
                    supervisor_->set_up(std::move(*setup));
                    tasks_ = 0;
                    continue;
                }
                supervisor_ = std::make_unique<Supervisor>(launch_for(
                    program_, std::move(*setup), session_.node_rank(), session_.core_share()));
            } else if (auto* task = std::get_if<protocol::Task>(&message)) {
                if (supervisor_) supervisor_->submit(std::move(*task));
                ++tasks_;
            } else if (std::holds_alternative<protocol::Retire>(message)) {
                if (supervisor_) supervisor_->retire();
                tasks_ = 0;
            } else if (std::holds_alternative<protocol::Ping>(message)) {
                to_coordinator_.push(protocol::encode(protocol::Ping{}));
            } else if (const auto* stop = std::get_if<protocol::Stop>(&message)) {
                finalize_ = stop->finalize;
                ended_ = true;
                if (supervisor_) supervisor_->stop();
                return true;
            }
        }
        return moved;
    }

    bool supervise() {
        if (!supervisor_ || ended_) return false;
        const auto messages = supervisor_->step(Supervisor::Clock::now());
        for (const protocol::Message& message : messages) {
            const auto* fault = std::get_if<protocol::Fault>(&message);
            if (std::holds_alternative<protocol::Result>(message) || (fault && !fault->at_start)) {
                --tasks_;
            }
            to_coordinator_.push(protocol::encode(message));
        }
        return !messages.empty();
    }

    MpiSession& session_;
    const EvaluatorProgram& program_;
    Outbox to_coordinator_{coordinator_rank};
    std::unique_ptr<Supervisor> supervisor_;
    std::chrono::steady_clock::time_point last_word_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point last_turn_ = last_word_;
    std::chrono::steady_clock::duration watchdog_ = std::chrono::minutes{10};  // until the Setup
    int tasks_ = 0;
    bool ended_ = false;
    bool finalize_ = true;
};

/// The coordinator must not take this rank's end for silence that it has to wait out.
void report_end(const std::string& reason) {
    try {
        Outbox outbox{coordinator_rank};
        outbox.push(protocol::encode(protocol::Leave{reason}));
        for (int wait = 0; wait < 1000 && !outbox.empty(); ++wait) {
            ::usleep(1000);
            outbox.progress();
        }
    } catch (const std::exception&) {  // MPI itself may be what failed
    }
}

}  // namespace

Supervisor::Launch launch_for(const EvaluatorProgram& program, protocol::Setup setup, int node_rank,
                              const CoreShare& share) {
    Supervisor::Launch launch{program.program, program.arguments, std::move(setup), share.cores};
    launch.setup.node_rank = static_cast<std::uint32_t>(node_rank);
    if (launch.setup.threads == 0) {
        launch.setup.threads = static_cast<std::uint32_t>(share.number);
    } else if (launch.setup.threads > launch.cores.size()) {
        launch.cores.clear();  // more threads than a share has cores: the system places them
    }
    return launch;
}

int run_mpi_worker(MpiSession& session, const EvaluatorProgram& program) {
    ignore_job_signals();
    bool everybody_lives = false;
    try {
        // The worker lives until the process ends: its buffers may belong to unfinished sends.
        everybody_lives = MpiWorker{session, program}.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "longrope: rank %d: %s\n", session.rank(), error.what());
        std::fflush(stderr);
        report_end(error.what());
        ::_exit(1);
    }
    if (!everybody_lives) ::_exit(0);
    session.finalize(0);
    return 0;
}

}  // namespace longrope::worker
