// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "worker/local_transport.hpp"
#include "worker/mpi_session.hpp"
#include "worker/process_watch.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::worker {

/// The coordinator's view of an MPI job: its own evaluator as worker 0, every other rank as the
/// worker of its number. Open MPI reports no death: a rank is lost for good when its process on
/// this node has ended, or, wherever it is, when it is silent for the lease.
class MpiTransport final : public protocol::Transport {
public:
    using Clock = std::chrono::steady_clock;

    /// Sends the setup to every rank; starts the own evaluator.
    MpiTransport(MpiSession& session, Supervisor::Launch own, const protocol::Setup& setup,
                 Clock::duration lease);
    MpiTransport(const MpiTransport&) = delete;
    MpiTransport& operator=(const MpiTransport&) = delete;
    ~MpiTransport() override;

    [[nodiscard]] std::vector<protocol::WorkerId> workers() const override;
    [[nodiscard]] std::vector<protocol::WorkerEvent> poll(std::chrono::milliseconds wait) override;
    void ping() override;
    void send(protocol::WorkerId worker, const protocol::Task& task) override;
    void retire(protocol::WorkerId worker) override;
    void set_up(const protocol::Setup& setup) override;
    void stop() override;
    /// Whether every rank was alive to the end, so that MPI can be finalized.
    [[nodiscard]] bool everybody_lives() const noexcept;

private:
    struct Peer {
        Outbox outbox;
        Clock::time_point heard;
        Clock::time_point pinged;
        std::optional<ProcessWatch> process;  ///< where it is on this node
        bool lost = false;
    };
    void receive(std::vector<protocol::WorkerEvent>& events);
    void find_lost(std::vector<protocol::WorkerEvent>& events);
    static protocol::WorkerEvent lose(protocol::WorkerId rank, Peer& peer, std::string reason);

    LocalTransport own_;
    Clock::duration lease_;
    Clock::duration ping_interval_;
    Clock::time_point listened_;
    Clock::time_point watched_;
    std::map<protocol::WorkerId, Peer> peers_;
    bool stopped_ = false;
};

/// Tells every other rank to end without an evaluator: the coordinator has nothing for them.
void dismiss_ranks(MpiSession& session);

}  // namespace longrope::worker
