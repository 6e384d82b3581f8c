// SPDX-License-Identifier: Apache-2.0
#include "worker/supervisor.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

namespace longrope::worker {
namespace {

constexpr std::uint32_t max_failed_starts = 3;
constexpr std::chrono::milliseconds start_backoff{500};
// What refuses a start and may pass, a file system or another process on the GPU, is given longer.
constexpr std::chrono::seconds refusal_backoff{20};
// A process that closed its socket is about to end, and its own end says more than our kill.
constexpr std::chrono::seconds patience_with_the_dying{2};
// Whoever steps does so many times a second; after a longer gap this process was suspended.
constexpr std::chrono::seconds longest_turn{10};
constexpr std::size_t quoted_output = 1500;  // leaves room for the reason in a Fault

Supervisor::Clock::duration seconds(double value) {
    return std::chrono::duration_cast<Supervisor::Clock::duration>(
        std::chrono::duration<double>{value});
}

std::string with_output(std::string reason, std::string_view tail) {
    const std::size_t last = tail.find_last_not_of(" \t\r\n");
    if (last == std::string_view::npos) return reason;
    tail = tail.substr(0, last + 1);
    const bool cut = tail.size() > quoted_output;
    if (cut) tail.remove_prefix(tail.size() - quoted_output);
    return fmt::format("{}; it had printed: {}{}", reason, cut ? "…" : "", tail);
}

}  // namespace

Supervisor::Supervisor(Launch launch) : launch_{std::move(launch)} {}

void Supervisor::set_up(protocol::Setup setup) {
    if (retired_) return;
    setup.threads = launch_.setup.threads;
    setup.node_rank = launch_.setup.node_rank;
    setup.device_uuid = launch_.setup.device_uuid;
    launch_.setup = std::move(setup);
    drop_child();
    given_up_ = false;
    failed_starts_ = 0;
    next_start_ = {};
}

void Supervisor::drop_child() {
    queue_.clear();
    running_.reset();
    broken_.clear();
    ready_ = false;
    if (child_) kill_child();
}

void Supervisor::retire() {
    retired_ = true;
    given_up_ = true;
    drop_child();
}

void Supervisor::submit(protocol::Task task) {
    if (retired_) return;
    queue_.push_back(std::move(task));
}

std::vector<int> Supervisor::descriptors() const {
    if (!child_ || killed_ || hung_up_) return {};  // a closed socket is readable for ever
    return {child_->socket(), child_->output()};
}

void Supervisor::stop() {
    stopped_ = true;
    child_.reset();
    queue_.clear();
    running_.reset();
    ready_ = false;
}

void Supervisor::start(Clock::time_point now) {
    reader_ = {};
    refused_ = false;
    may_pass_ = false;
    hung_up_ = false;
    hung_up_until_.reset();
    answered_ = false;
    outbox_ = protocol::encode(launch_.setup);
    start_deadline_ = now + seconds(launch_.setup.start_deadline_seconds);
    child_ = std::make_unique<ChildProcess>(launch_.program, launch_.arguments, launch_.cores);
}

std::vector<protocol::Message> Supervisor::step(Clock::time_point now) {
    std::vector<protocol::Message> events;
    if (stopped_) return events;
    discount_pause(now);
    if (killed_) await_end(now, events);
    if (killed_ || given_up_) return events;
    if (!child_) {
        if (now < next_start_) return events;
        try {
            start(now);
        } catch (const WorkerError& error) {
            fail(error.what(), now, events);
            return events;
        }
    }
    child_->read_output();
    if (!hung_up_) read(events);
    if (!broken_.empty()) {
        fail(broken_, now, events);
    } else if (hung_up_) {
        if (closed(now)) fail("the evaluator process closed its connection", now, events);
    } else if (!ready_ && now >= start_deadline_) {
        fail(fmt::format("the evaluator process did not get ready within {} s "
                         "(evaluator.start_seconds)",
                         launch_.setup.start_deadline_seconds),
             now, events);
    } else if (running_ && now >= running_->deadline) {
        fail(fmt::format("the evaluator process did not finish within {} s and counts as hanging",
                         running_->task.deadline_seconds),
             now, events);
        std::get<protocol::Fault>(events.back()).hung = true;
    } else {
        if (ready_ && !running_ && !queue_.empty()) {
            const std::vector<std::byte> frame = protocol::encode(queue_.front());
            outbox_.insert(outbox_.end(), frame.begin(), frame.end());
            const Clock::time_point deadline = now + seconds(queue_.front().deadline_seconds);
            running_ = Running{std::move(queue_.front()), deadline, {}};
            queue_.pop_front();
        }
        write();
    }
    return events;
}

void Supervisor::discount_pause(Clock::time_point now) {
    // A suspended job's evaluator stood still too: none of that time counts as hanging.
    const Clock::duration pause = last_step_ ? now - *last_step_ : Clock::duration{};
    last_step_ = now;
    if (pause <= longest_turn) return;
    start_deadline_ += pause;
    if (killed_until_) *killed_until_ += pause;
    if (running_) {
        running_->deadline += pause;
        running_->paused += pause;
    }
    if (hung_up_until_) *hung_up_until_ += pause;
}

void Supervisor::kill_child() {
    child_->begin_kill();
    killed_ = true;
    killed_until_.reset();
}

void Supervisor::await_end(Clock::time_point now, std::vector<protocol::Message>& events) {
    const double patience = launch_.setup.start_deadline_seconds;
    if (!killed_until_) killed_until_ = now + seconds(patience);
    // Until it is gone its device is not free: no fresh one is started before.
    if (child_->ended()) {
        child_.reset();
        killed_ = false;
    } else if (!given_up_ && now >= *killed_until_) {
        given_up_ = true;
        protocol::Fault fault;
        fault.setup = launch_.setup.number;
        fault.at_start = true;
        fault.given_up = true;
        fault.reason = fmt::format(
            "the evaluator process (pid {}) does not end although it was killed {} s ago: a driver "
            "or a file system holds it",
            child_->pid(), patience);
        events.emplace_back(std::move(fault));
    }
}

bool Supervisor::closed(Clock::time_point now) {
    if (!hung_up_until_) hung_up_until_ = now + patience_with_the_dying;
    return child_->ended() || now >= *hung_up_until_;
}

void Supervisor::read(std::vector<protocol::Message>& events) {
    std::array<std::byte, 65536> piece{};
    while (broken_.empty() && !hung_up_) {
        const ssize_t got = ::recv(child_->socket(), piece.data(), piece.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (got <= 0) {
            hung_up_ = true;
            return;
        }
        reader_.append(std::span{piece}.first(static_cast<std::size_t>(got)));
        try {
            while (broken_.empty()) {
                auto message = reader_.next();
                if (!message) break;
                accept(std::move(*message), events);
            }
        } catch (const protocol::ProtocolError& error) {
            broken_ = fmt::format("the evaluator process sent garbage: {}", error.what());
        }
    }
}

void Supervisor::accept(protocol::Message message, std::vector<protocol::Message>& events) {
    if (const auto* hello = std::get_if<protocol::Hello>(&message); hello && !ready_) {
        // Counted anew, devices may have other numbers, where one is lost for example.
        if (!hello->device_uuid.empty()) launch_.setup.device_uuid = hello->device_uuid;
        ready_ = true;
        has_started_ = true;
        events.push_back(std::move(message));
        return;
    }
    const auto is_current = [this](const auto& m) {
        return running_ && m.id == running_->task.id && m.attempt == running_->task.attempt;
    };
    if (auto* result = std::get_if<protocol::Result>(&message); result && is_current(*result)) {
        // The evaluator's clock went on while it stood still.
        const double paused = std::chrono::duration<double>(running_->paused).count();
        result->seconds = std::max(0.0, result->seconds - paused);
        running_.reset();
        answered_ = true;
        failed_starts_ = 0;
        events.push_back(std::move(message));
    } else if (const auto* scores = std::get_if<protocol::TokenScores>(&message);
               scores && is_current(*scores)) {
        events.push_back(std::move(message));
    } else if (const auto* fault = std::get_if<protocol::Fault>(&message);
               fault && !ready_ && fault->at_start) {
        refused_ = true;
        may_pass_ = fault->may_pass;
        broken_ = fault->reason.empty() ? "the evaluator refuses to start" : fault->reason;
    } else if (fault && is_current(*fault)) {
        broken_ = fault->reason.empty() ? "the evaluator could not do the task" : fault->reason;
    } else {
        broken_ = fmt::format("the evaluator process sent an unexpected message of type {}",
                              message.index());
    }
}

void Supervisor::write() {
    while (!outbox_.empty()) {
        const ssize_t sent = ::send(child_->socket(), outbox_.data(), outbox_.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return;  // full: later; closed: the next read says so
        outbox_.erase(outbox_.begin(), outbox_.begin() + sent);
    }
}

void Supervisor::fail(std::string reason, Clock::time_point now,
                      std::vector<protocol::Message>& events) {
    if (child_) {
        child_->read_output();
        if (const auto ending = child_->ended(); ending && hung_up_) {
            reason = fmt::format("the evaluator process (pid {}) {}", child_->pid(), *ending);
            if (ending->find("signal 9 ") != std::string::npos) {
                reason += ", perhaps by the kernel for lack of memory";
            }
        }
        if (!refused_) reason = with_output(std::move(reason), child_->output_tail());
        kill_child();
    }
    protocol::Fault fault;
    fault.setup = launch_.setup.number;
    fault.reason = std::move(reason);
    next_start_ = now;
    if (ready_ && running_) {
        fault.id = running_->task.id;
        fault.attempt = running_->task.attempt;
        failed_starts_ = 0;  // it had started
    } else {
        fault.at_start = true;  // no task pays for it
        if (!answered_) {
            ++failed_starts_;
            const bool may_pass = may_pass_ || has_started_;
            given_up_ = (refused_ && !may_pass) || failed_starts_ >= max_failed_starts;
            fault.given_up = given_up_;
            next_start_ = now + (refused_ ? Clock::duration{refusal_backoff}
                                          : Clock::duration{start_backoff}) *
                                    failed_starts_;
        }
    }
    running_.reset();
    ready_ = false;
    broken_.clear();
    events.emplace_back(std::move(fault));
}

}  // namespace longrope::worker
