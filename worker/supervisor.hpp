// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/child_process.hpp"
#include "worker/protocol/frame.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::worker {

/// Keeps one evaluator process alive and busy. Never computes and never waits: `step` does what can
/// be done now. A crash, a hang past the deadline or garbage on the socket costs the process, which
/// is replaced, and is reported as a Fault of the task it was on.
class Supervisor {
public:
    using Clock = std::chrono::steady_clock;

    /// How to start an evaluator process.
    struct Launch {
        std::string program;                 ///< this program's file
        std::vector<std::string> arguments;  ///< branch off into the evaluator process
        protocol::Setup setup;               ///< threads resolved: at least 1
        std::vector<int> cores;              ///< CPUs it may run on; empty: all of ours
    };

    explicit Supervisor(Launch launch);
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;
    ~Supervisor() = default;

    /// Queues a task; tasks run in this order.
    void submit(protocol::Task task);
    /// Starts, restarts, reads, writes and kills as needed.
    /// @returns Hello, TokenScores, Result and Fault messages for the coordinator, in order
    [[nodiscard]] std::vector<protocol::Message> step(Clock::time_point now);
    /// Descriptors whose readability means that `step` has something to do.
    [[nodiscard]] std::vector<int> descriptors() const;
    /// Kills the evaluator process and drops all tasks.
    void stop();
    [[nodiscard]] bool given_up() const noexcept { return given_up_; }

private:
    struct Running {
        protocol::Task task;
        Clock::time_point deadline;
    };

    void start(Clock::time_point now);
    void read(std::vector<protocol::Message>& events);
    void accept(protocol::Message message, std::vector<protocol::Message>& events);
    void write();
    void fail(const std::string& reason, Clock::time_point now,
              std::vector<protocol::Message>& events);

    Launch launch_;
    std::unique_ptr<ChildProcess> child_;
    protocol::FrameReader reader_;
    std::vector<std::byte> outbox_;
    std::deque<protocol::Task> queue_;
    std::optional<Running> running_;
    bool ready_ = false;  ///< Hello seen
    bool given_up_ = false;
    bool stopped_ = false;
    bool refused_ = false;             ///< the evaluator itself said why it cannot start
    std::string broken_;               ///< why the connection is of no use
    std::uint32_t failed_starts_ = 0;  ///< in a row
    Clock::time_point start_deadline_{};
    Clock::time_point next_start_{};
};

}  // namespace longrope::worker
