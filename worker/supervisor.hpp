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
/// be done now. A crash, a hang past the deadline, garbage on the socket or an error that the
/// evaluator reports itself (after one on a GPU every later call fails) costs the process, which is
/// replaced once it is gone and has freed its device, and is reported as a Fault of the task it was
/// on. The third process in a row that ends without a task, before it answered anything, is the
/// last: its Fault says `given_up`. So does the first one where the evaluator itself says why it
/// cannot start, unless it says that this may pass, or one has started here before. And so does one
/// that SIGKILL does not end.
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

    /// From now on evaluators are started with this setup, on the same cores and device and with as
    /// many threads; the running one is killed, and all tasks are dropped. One that was given up is
    /// tried again.
    void set_up(protocol::Setup setup);
    /// Queues a task; tasks run in this order.
    void submit(protocol::Task task);
    /// Starts, restarts, reads, writes and kills as needed.
    /// @returns Hello, TokenScores, Result and Fault messages for the coordinator, in order
    [[nodiscard]] std::vector<protocol::Message> step(Clock::time_point now);
    /// Descriptors whose readability means that `step` has something to do.
    [[nodiscard]] std::vector<int> descriptors() const;
    /// Kills the evaluator process without waiting for its end, drops all tasks and starts no
    /// further process, whatever is set up.
    void retire();
    /// Kills the evaluator process, waits for its end and drops all tasks.
    void stop();
    [[nodiscard]] bool given_up() const noexcept { return given_up_; }

private:
    struct Running {
        protocol::Task task;
        Clock::time_point deadline;
        Clock::duration paused{};  ///< of the time since it was sent
    };

    void start(Clock::time_point now);
    void read(std::vector<protocol::Message>& events);
    void accept(protocol::Message message, std::vector<protocol::Message>& events);
    void write();
    [[nodiscard]] bool closed(Clock::time_point now);
    void discount_pause(Clock::time_point now);
    void drop_child();
    void kill_child();
    void await_end(Clock::time_point now, std::vector<protocol::Message>& events);
    void fail(std::string reason, Clock::time_point now, std::vector<protocol::Message>& events);

    Launch launch_;
    std::unique_ptr<ChildProcess> child_;
    protocol::FrameReader reader_;
    std::vector<std::byte> outbox_;
    std::deque<protocol::Task> queue_;
    std::optional<Running> running_;
    bool ready_ = false;  ///< Hello seen
    bool given_up_ = false;
    bool retired_ = false;
    bool stopped_ = false;
    bool killed_ = false;  ///< the child has been reported and is about to end
    std::optional<Clock::time_point> killed_until_;  ///< when it must have ended
    bool refused_ = false;   ///< the evaluator itself said why it cannot start
    bool may_pass_ = false;  ///< and that it may pass
    bool hung_up_ = false;   ///< the child closed its connection
    std::optional<Clock::time_point> hung_up_until_;  ///< when it must have ended by itself
    std::string broken_;                              ///< why the connection is of no use
    bool answered_ = false;            ///< this process has finished a task or reported a fault
    std::uint32_t failed_starts_ = 0;  ///< in a row
    bool has_started_ = false;         ///< a Hello was seen, of whatever process
    Clock::time_point start_deadline_{};
    Clock::time_point next_start_{};
    std::optional<Clock::time_point> last_step_;
};

}  // namespace longrope::worker
