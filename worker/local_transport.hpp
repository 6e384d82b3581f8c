// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <vector>

#include "worker/protocol/transport.hpp"
#include "worker/supervisor.hpp"

namespace longrope::worker {

/// The worker inside the coordinator's own process: a supervisor without MPI. A world of one.
class LocalTransport final : public protocol::Transport {
public:
    explicit LocalTransport(Supervisor::Launch launch);

    [[nodiscard]] std::vector<protocol::WorkerId> workers() const override { return {0}; }
    [[nodiscard]] std::vector<protocol::WorkerEvent> poll(std::chrono::milliseconds wait) override;
    void send(protocol::WorkerId worker, const protocol::Task& task) override;
    void retire(protocol::WorkerId worker) override;
    void set_up(const protocol::Setup& setup) override;
    void stop() override;

private:
    Supervisor supervisor_;
};

/// Waits until one of the descriptors is readable or hung up, at most `wait`.
void wait_readable(const std::vector<int>& descriptors, std::chrono::milliseconds wait);

}  // namespace longrope::worker
