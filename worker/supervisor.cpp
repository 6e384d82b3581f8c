// SPDX-License-Identifier: Apache-2.0
#include "worker/supervisor.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace longrope::worker {
namespace {

constexpr std::uint32_t max_failed_starts = 3;
constexpr std::chrono::milliseconds start_backoff{500};

Supervisor::Clock::duration seconds(double value) {
    return std::chrono::duration_cast<Supervisor::Clock::duration>(
        std::chrono::duration<double>{value});
}

std::string with_output(std::string reason, const std::string& tail) {
    if (tail.empty()) return reason;
    return fmt::format("{}; it had printed: {}", reason, tail);
}

}  // namespace

Supervisor::Supervisor(Launch launch) : launch_{std::move(launch)} {}

void Supervisor::submit(protocol::Task task) {
    queue_.push_back(std::move(task));
}

std::vector<int> Supervisor::descriptors() const {
    if (!child_) return {};
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
    broken_.clear();
    ready_ = false;
    refused_ = false;
    outbox_ = protocol::encode(launch_.setup);
    start_deadline_ = now + seconds(launch_.setup.start_deadline_seconds);
    child_ = std::make_unique<ChildProcess>(launch_.program, launch_.arguments, launch_.cores);
}

std::vector<protocol::Message> Supervisor::step(Clock::time_point now) {
    std::vector<protocol::Message> events;
    if (stopped_ || given_up_) return events;
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
    read(events);
    if (!broken_.empty()) {
        fail(broken_, now, events);
    } else if (!ready_ && now >= start_deadline_) {
        fail(fmt::format("the evaluator process did not get ready within {} s",
                         launch_.setup.start_deadline_seconds),
             now, events);
    } else if (running_ && now >= running_->deadline) {
        fail(fmt::format("the evaluator process did not finish within {} s and counts as hanging",
                         running_->task.deadline_seconds),
             now, events);
    } else {
        if (ready_ && !running_ && !queue_.empty()) {
            const std::vector<std::byte> frame = protocol::encode(queue_.front());
            outbox_.insert(outbox_.end(), frame.begin(), frame.end());
            const Clock::time_point deadline = now + seconds(queue_.front().deadline_seconds);
            running_ = Running{std::move(queue_.front()), deadline};
            queue_.pop_front();
        }
        write();
    }
    return events;
}

void Supervisor::read(std::vector<protocol::Message>& events) {
    std::array<std::byte, 65536> piece{};
    while (broken_.empty()) {
        const ssize_t got = ::recv(child_->socket(), piece.data(), piece.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (got <= 0) {
            broken_ = "the evaluator process closed its connection";
            return;
        }
        reader_.append(std::span{piece}.first(static_cast<std::size_t>(got)));
        try {
            while (auto message = reader_.next()) accept(std::move(*message), events);
        } catch (const protocol::ProtocolError& error) {
            broken_ = fmt::format("the evaluator process sent garbage: {}", error.what());
        }
    }
}

void Supervisor::accept(protocol::Message message, std::vector<protocol::Message>& events) {
    if (std::holds_alternative<protocol::Hello>(message)) {
        ready_ = true;
        failed_starts_ = 0;
        events.push_back(std::move(message));
        return;
    }
    const auto is_current = [this](const auto& m) {
        return running_ && m.id == running_->task.id && m.attempt == running_->task.attempt;
    };
    if (const auto* result = std::get_if<protocol::Result>(&message);
        result && is_current(*result)) {
        running_.reset();
        events.push_back(std::move(message));
    } else if (const auto* scores = std::get_if<protocol::TokenScores>(&message);
               scores && is_current(*scores)) {
        events.push_back(std::move(message));
    } else if (const auto* fault = std::get_if<protocol::Fault>(&message);
               fault && !ready_ && fault->at_start) {
        refused_ = true;
        broken_ = fault->reason;
    } else if (fault && is_current(*fault)) {
        running_.reset();
        events.push_back(std::move(message));
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

void Supervisor::fail(const std::string& reason, Clock::time_point now,
                      std::vector<protocol::Message>& events) {
    protocol::Fault fault;
    fault.reason = reason;
    if (child_) {
        const bool already_dead = child_->ended().has_value();
        // A process that closed its socket is about to end: its own end says more than our kill.
        if (!already_dead && broken_ == "the evaluator process closed its connection") {
            for (int wait = 0; wait < 50 && !child_->ended(); ++wait) ::usleep(1000);
        }
        const bool ended_alone = child_->ended().has_value();
        const std::string ending = child_->kill();
        child_->read_output();
        if (ended_alone && !refused_) {
            fault.reason = fmt::format("the evaluator process (pid {}) {}", child_->pid(), ending);
            if (ending.find("signal 9") != std::string::npos) {
                fault.reason += ", perhaps by the kernel for lack of memory";
            }
        }
        if (!refused_) fault.reason = with_output(fault.reason, child_->output_tail());
    }
    child_.reset();
    if (ready_ && running_) {
        fault.id = running_->task.id;
        fault.attempt = running_->task.attempt;
        next_start_ = now;
    } else if (ready_) {
        fault.at_start = true;  // it died between tasks: no task pays for it
        next_start_ = now;
    } else {
        fault.at_start = true;
        ++failed_starts_;
        given_up_ = refused_ || failed_starts_ >= max_failed_starts;
        fault.given_up = given_up_;
        next_start_ = now + start_backoff * failed_starts_;
    }
    running_.reset();
    ready_ = false;
    broken_.clear();
    events.emplace_back(std::move(fault));
}

}  // namespace longrope::worker
