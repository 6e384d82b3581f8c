// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "worker/protocol/messages.hpp"

namespace longrope::protocol {

/// A worker's number: its MPI rank.
using WorkerId = std::int32_t;

/// The worker will never answer again: its rank died, fell silent or left.
struct Lost {
    std::string reason;
};

struct WorkerEvent {
    WorkerId worker = 0;
    std::variant<Hello, TokenScores, Result, Fault, Lost> what;
};

/// How the coordinator reaches its workers. Never waits for a worker: a dead one costs nothing.
class Transport {
public:
    Transport() = default;
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    virtual ~Transport() = default;

    /// The workers that there were at the start, dead ones included.
    [[nodiscard]] virtual std::vector<WorkerId> workers() const = 0;
    /// What has happened since the last call; waits at most `wait` for the first event.
    [[nodiscard]] virtual std::vector<WorkerEvent> poll(std::chrono::milliseconds wait) = 0;
    /// Lets the workers know that the coordinator lives; `poll` does it too. Returns at once.
    virtual void ping() {}
    /// Queues a task for a worker; returns at once. A lost worker is passed over in silence.
    virtual void send(WorkerId worker, const Task& task) = 0;
    /// The worker computes no more: its evaluator process is ended, and no later setup starts one.
    /// Returns at once; a lost worker is passed over in silence.
    virtual void retire(WorkerId worker) = 0;
    /// From now on every worker evaluates with this: its evaluator process is replaced, and says
    /// Hello with the setup's number; the tasks that it still had are dropped. Returns at once.
    virtual void set_up(const Setup& setup) = 0;
    /// Tells every worker to end, and sees to it that this process's own evaluator has ended.
    virtual void stop() = 0;
};

}  // namespace longrope::protocol
