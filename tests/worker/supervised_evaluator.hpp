// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "worker/local_transport.hpp"
#include "worker/supervisor.hpp"

namespace longrope::worker {

/// How this test program starts itself as an evaluator process on the synthetic landscape.
inline Supervisor::Launch synthetic_launch(const std::string& fault = "none",
                                           std::uint32_t fault_every = 0) {
    Supervisor::Launch launch;
    launch.program = "/proc/self/exe";
    launch.arguments = {"--evaluator-process", std::to_string(::getpid())};
    launch.setup.backend = "synthetic";
    launch.setup.precision = "f32";
    launch.setup.isa = "auto";
    launch.setup.angles = "double";
    launch.setup.threads = 1;
    launch.setup.synthetic.fault = fault;
    launch.setup.synthetic.fault_every = fault_every;
    return launch;
}

/// A shell script in place of an evaluator process.
inline Supervisor::Launch shell_launch(const std::string& script) {
    Supervisor::Launch launch = synthetic_launch();
    launch.program = "/bin/sh";
    launch.arguments = {"-c", script};
    return launch;
}

/// A task that the synthetic landscape accepts.
inline protocol::Task small_task(std::uint64_t id) {
    protocol::Task task;
    task.id = id;
    task.attempt = 1;
    task.factors.assign(16, 1.0 + 0.125 * static_cast<double>(id));
    task.positions = 2048;
    task.deadline_seconds = 600.0;
    return task;
}

/// A supervisor on a clock that the test moves: real time passes only as far as the evaluator
/// process needs to answer, and deadlines are reached by jumping to them.
class SupervisedEvaluator {
public:
    explicit SupervisedEvaluator(Supervisor::Launch launch) : supervisor_{std::move(launch)} {}

    [[nodiscard]] Supervisor& supervisor() noexcept { return supervisor_; }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }  ///< of the last Hello
    void submit(protocol::Task task) { supervisor_.submit(std::move(task)); }
    /// The clock runs ahead, with a step every second.
    void jump(std::chrono::seconds ahead) {
        for (std::chrono::seconds done{0}; done < ahead; ++done) {
            ahead_ += std::chrono::seconds{1};
            pending_ = step();
        }
    }
    /// The clock runs ahead without a step, as where the process was suspended.
    void leap(std::chrono::seconds ahead) { ahead_ += ahead; }

    /// One step; the messages that it gives, after those of a jump.
    std::vector<protocol::Message> step() {
        std::vector<protocol::Message> messages = std::exchange(pending_, {});
        for (protocol::Message& message : supervisor_.step(Supervisor::Clock::now() + ahead_)) {
            if (const auto* hello = std::get_if<protocol::Hello>(&message)) {
                pid_ = static_cast<pid_t>(hello->pid);
            }
            messages.push_back(std::move(message));
        }
        return messages;
    }

    /// Steps until a message of this kind comes; those before it are dropped.
    template <typename M>
    M await() {
        const auto give_up = Supervisor::Clock::now() + std::chrono::minutes{2};
        while (Supervisor::Clock::now() < give_up) {
            pending_ = step();
            while (!pending_.empty()) {
                const protocol::Message message = pending_.front();
                pending_.erase(pending_.begin());
                if (const M* found = std::get_if<M>(&message)) return *found;
            }
            wait_readable(supervisor_.descriptors(), std::chrono::milliseconds{2});
        }
        FAIL("the message did not come within two minutes");
        return {};
    }

private:
    Supervisor supervisor_;
    std::vector<protocol::Message> pending_;
    std::chrono::seconds ahead_{0};
    pid_t pid_ = -1;
};

/// Polls until the condition holds; false after two minutes.
inline bool comes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 60'000; ++i) {
        if (condition()) return true;
        ::usleep(2000);
    }
    return false;
}

}  // namespace longrope::worker
