// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "genome/random_stream.hpp"
#include "tests/coordinator/small_run.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// Workers in memory that compute the closed form: no processes, no time. Each call of `poll` lets
/// one of them, in turn or drawn from a seed, answer a task. What they say and when they fail is a
/// script's choice.
class ScriptedTransport final : public protocol::Transport {
public:
    using What = decltype(protocol::WorkerEvent::what);

    explicit ScriptedTransport(int workers, std::optional<std::uint64_t> shuffle_seed = {})
        : count_{workers} {
        if (shuffle_seed) random_.emplace(*shuffle_seed, "scripted transport", 0);
    }

    // The script. All of it may be changed while a run is under way.
    std::function<double(const protocol::Task&)> sum = [](const protocol::Task& task) {
        return closed_form_sum(task.factors, task.start_tokens, task.document, task.positions);
    };
    /// What a worker makes of a task; by default what all do.
    std::function<double(protocol::WorkerId, const protocol::Task&)> sum_on =
        [this](protocol::WorkerId, const protocol::Task& task) { return sum(task); };
    /// A reason to fault on a task instead of answering it.
    std::function<std::optional<std::string>(protocol::WorkerId, const protocol::Task&)> fault =
        [](protocol::WorkerId, const protocol::Task&) { return std::nullopt; };
    /// What a worker says first: a Hello, a Fault at start, or Lost.
    std::function<What(protocol::WorkerId)> first_word = [](protocol::WorkerId worker) -> What {
        return hello(worker);
    };
    /// Called at the beginning of every poll but the first, with its number.
    std::function<void(std::uint64_t)> at_poll = [](std::uint64_t) {};
    double task_seconds = 0.01;

    /// The digest of the model that a setup names.
    std::function<std::string(const protocol::Setup&)> model_of = [](const protocol::Setup&) {
        return small_facts().model_digest;
    };
    /// The device that a worker says it has once it has another setup.
    std::function<std::string(protocol::WorkerId)> device_after_set_up = [](protocol::WorkerId) {
        return "";
    };
    /// Called when the workers are given another setup, before they have it.
    std::function<void()> at_set_up = [] {};

    static protocol::Hello hello(protocol::WorkerId worker) {
        protocol::Hello hello;
        hello.model_digest = small_facts().model_digest;
        hello.documents_digest = small_facts().documents_digest;
        hello.numerics_class = "scripted 1";
        hello.device_name = "script";
        hello.host = "host" + std::to_string(worker % 2);
        hello.pid = 1000 + worker;
        return hello;
    }

    void say(protocol::WorkerId worker, What what) { said_.push_back({worker, std::move(what)}); }
    /// The worker vanishes with its tasks; the coordinator is told.
    void lose(protocol::WorkerId worker, const std::string& reason) {
        queues_.erase(worker);
        say(worker, protocol::Lost{reason});
    }

    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    [[nodiscard]] std::uint64_t answered() const noexcept { return answered_; }
    /// Times that a document was scored for a factor vector, beyond the first.
    [[nodiscard]] std::uint64_t repeated() const noexcept { return repeated_; }

    [[nodiscard]] std::vector<protocol::WorkerId> workers() const override {
        std::vector<protocol::WorkerId> all;
        for (int worker = 0; worker < count_; ++worker) all.push_back(worker);
        return all;
    }

    [[nodiscard]] std::vector<protocol::WorkerEvent> poll(std::chrono::milliseconds) override {
        if (polls_++ == 0) {
            for (const protocol::WorkerId worker : workers()) {
                queues_[worker];
                say(worker, first_word(worker));
            }
        } else {
            at_poll(polls_);
        }
        if (said_.empty()) work();
        idle_polls_ = said_.empty() ? idle_polls_ + 1 : 0;
        if (idle_polls_ > 100'000) throw std::runtime_error{"the coordinator waits for ever"};
        return std::exchange(said_, {});
    }

    void send(protocol::WorkerId worker, const protocol::Task& task) override {
        ++sent_;
        const auto queue = queues_.find(worker);
        if (queue != queues_.end()) queue->second.push_back(task);
    }

    void retire(protocol::WorkerId worker) override {
        retired_.insert(worker);
        queues_.erase(worker);
    }
    [[nodiscard]] const std::set<protocol::WorkerId>& retired() const noexcept { return retired_; }

    void set_up(const protocol::Setup& setup) override {
        at_set_up();
        ++setups_;
        for (auto& [worker, queue] : queues_) {
            queue.clear();
            protocol::Hello again = hello(worker);
            again.setup = setup.number;
            again.model_digest = model_of(setup);
            again.device_uuid = device_after_set_up(worker);
            say(worker, std::move(again));
        }
    }
    [[nodiscard]] int setups() const noexcept { return setups_; }

    void stop() override {}

private:
    void work() {
        std::vector<protocol::WorkerId> busy;
        for (const auto& [worker, queue] : queues_) {
            if (!queue.empty()) busy.push_back(worker);
        }
        if (busy.empty()) return;
        const auto count = static_cast<std::uint32_t>(busy.size());
        const protocol::WorkerId worker =
            busy[random_ ? random_->uniform_integer(count) : polls_ % count];
        const protocol::Task task = queues_[worker].front();
        queues_[worker].pop_front();
        if (const auto reason = fault(worker, task)) {
            say(worker, protocol::Fault{task.id, task.attempt, false, false, *reason});
            return;
        }
        ++answered_;
        const std::pair key{task.factors, std::pair{task.start_tokens, task.document}};
        if (scored_[key]++ > 0) ++repeated_;
        say(worker, protocol::Result{task.id, task.attempt, sum_on(worker, task),
                                     task.positions - 1, task_seconds});
    }

    int count_;
    std::optional<genome::RandomStream> random_;
    std::map<protocol::WorkerId, std::deque<protocol::Task>> queues_;
    std::vector<protocol::WorkerEvent> said_;
    std::map<std::pair<std::vector<double>, std::pair<std::uint32_t, std::uint32_t>>, int> scored_;
    std::uint64_t polls_ = 0;
    std::uint64_t idle_polls_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t answered_ = 0;
    std::uint64_t repeated_ = 0;
    int setups_ = 0;
    std::set<protocol::WorkerId> retired_;
};

}  // namespace longrope::coordinator
