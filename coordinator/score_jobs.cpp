// SPDX-License-Identifier: Apache-2.0
#include "coordinator/score_jobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <set>

#include "coordinator/worker_roster.hpp"

namespace longrope::coordinator {
namespace {

constexpr std::chrono::milliseconds poll_wait{20};

void keep_token_scores(const Dispatcher& dispatcher, std::vector<JobScores>& scores,
                       const protocol::TokenScores& part) {
    const auto origin = dispatcher.origin(part.id, part.attempt);
    if (!origin) return;  // of a task that was given to another worker
    std::vector<float>& to = scores[origin->first].token_nll[origin->second];
    to.resize(std::max<std::size_t>(to.size(), part.offset + part.nll.size()));
    std::ranges::copy(part.nll, to.begin() + static_cast<std::ptrdiff_t>(part.offset));
}

/// What is scored was dear, and is not lost with the last worker.
void fail_the_unscored(const std::vector<Job>& jobs, const std::string& reason,
                       std::vector<JobScores>& scores) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (scores[i].failure) continue;
        for (const std::uint32_t column : jobs[i].columns) {
            if (scores[i].scored_tokens[column] > 0) continue;
            scores[i].failure = {column, reason};
            break;
        }
    }
}

}  // namespace

std::optional<std::vector<JobScores>> score_jobs(
    const std::vector<Job>& jobs, protocol::Transport& transport, Dispatcher::Settings settings,
    const Requirements& required, const std::function<void(std::uint64_t, std::uint64_t)>& on_score,
    const std::function<std::optional<std::string>()>& stop_reason, const OnHello& on_hello) {
    Dispatcher dispatcher{settings};
    std::vector<JobScores> scores(jobs.size());
    std::uint64_t total = 0;
    std::uint64_t scored = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const std::size_t documents = jobs[i].documents.size();
        scores[i].sum_nll.assign(documents, std::numeric_limits<double>::quiet_NaN());
        scores[i].scored_tokens.assign(documents, 0);
        if (jobs[i].per_token) scores[i].token_nll.resize(documents);
        total += jobs[i].columns.size();
        dispatcher.submit(i, jobs[i]);
    }
    const std::vector<protocol::WorkerId> all = transport.workers();
    Admission admission{required, all};
    std::set<protocol::WorkerId> alive{all.begin(), all.end()};
    for (const protocol::WorkerId worker : all) dispatcher.expect_worker(worker);
    std::string last_loss;
    const auto lose = [&](protocol::WorkerId worker, const std::string& reason) {
        alive.erase(worker);
        admission.release(worker);
        dispatcher.remove_worker(worker);
        transport.retire(worker);
        last_loss = reason;
    };
    const auto judge = [&] {
        for (const auto& [worker, hello, refusal] : admission.judge(Admission::Clock::now())) {
            if (on_hello) on_hello(hello, refusal);
            if (refusal) {
                lose(worker, refusal->reason);
            } else {
                dispatcher.add_worker(worker);
            }
        }
    };
    while (!dispatcher.idle()) {
        if (alive.empty()) {
            const std::string reason = fmt::format("no worker is left: {}", last_loss);
            if (scored == 0) throw NoWorkers{reason};
            fail_the_unscored(jobs, reason, scores);
            return scores;
        }
        if (stop_reason()) return std::nullopt;
        for (const protocol::WorkerEvent& event : transport.poll(poll_wait)) {
            judge();  // who speaks, before what it computed is heard
            if (!alive.contains(event.worker)) continue;  // its tasks are others' now
            if (const auto* hello = std::get_if<protocol::Hello>(&event.what)) {
                admission.hear(event.worker, *hello, Admission::Clock::now());
            } else if (const auto* part = std::get_if<protocol::TokenScores>(&event.what)) {
                keep_token_scores(dispatcher, scores, *part);
            } else if (const auto* result = std::get_if<protocol::Result>(&event.what)) {
                if (const auto score = dispatcher.on_result(event.worker, *result)) {
                    scores[score->job].sum_nll[score->column] = score->sum_nll;
                    scores[score->job].scored_tokens[score->column] = score->scored_tokens;
                    on_score(++scored, total);
                }
            } else if (const auto* fault = std::get_if<protocol::Fault>(&event.what)) {
                if (fault->at_start) admission.on_failed_start(event.worker);
                if (fault->given_up) lose(event.worker, fault->reason);
                const auto verdict = dispatcher.on_fault(event.worker, *fault);
                // A sick worker stays: jobs here differ in length, and only the long may fail.
                if (verdict && verdict->final) {
                    scores[verdict->job].failure = {verdict->column, verdict->reason};
                }
            } else if (const auto* lost = std::get_if<protocol::Lost>(&event.what)) {
                lose(event.worker, lost->reason);
            }
        }
        judge();
        for (const Assignment& assignment : dispatcher.assign()) {
            transport.send(assignment.worker, assignment.task);
        }
    }
    return scores;
}

}  // namespace longrope::coordinator
