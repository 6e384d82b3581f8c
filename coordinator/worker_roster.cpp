// SPDX-License-Identifier: Apache-2.0
#include "coordinator/worker_roster.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longrope::coordinator {
namespace {

using protocol::WorkerId;

bool is_gone(const WorkerRow& worker) {
    return worker.state == "lost" || worker.state == "refused";
}

}  // namespace

WorkerRoster::WorkerRoster(RunHistory& header, std::span<const WorkerId> workers)
    : header_{header} {
    header_.workers.clear();
    for (const WorkerId worker : workers) {
        WorkerRow row;
        row.rank = worker;
        row.state = "starting";
        rows_.emplace(worker, header_.workers.size());
        header_.workers.push_back(row);
    }
}

WorkerRow& WorkerRoster::row(WorkerId worker) {
    return header_.workers[rows_.at(worker)];
}

const WorkerRow& WorkerRoster::row(WorkerId worker) const {
    return header_.workers[rows_.at(worker)];
}

bool WorkerRoster::is_gone(WorkerId worker) const {
    return coordinator::is_gone(row(worker));
}

std::vector<WorkerId> WorkerRoster::present() const {
    std::vector<WorkerId> workers;
    for (const auto& [worker, index] : rows_) {
        if (!is_gone(worker)) workers.push_back(worker);
    }
    return workers;
}

const std::string& WorkerRoster::numerics_class(WorkerId worker) const {
    return row(worker).numerics_class;
}

void WorkerRoster::on_start(WorkerId worker) {
    row(worker).state = "starting";
}

void WorkerRoster::on_task(WorkerId worker) {
    row(worker).state = "busy";
}

void WorkerRoster::on_result(WorkerId worker, double seconds) {
    WorkerRow& known = row(worker);
    if (known.state == "busy") known.state = "idle";
    known.busy_seconds += seconds;
    ++known.tasks;
}

void WorkerRoster::on_fault(WorkerId worker) {
    WorkerRow& known = row(worker);
    if (known.state == "busy") known.state = "idle";
    ++known.faults;
}

std::vector<std::string> WorkerRoster::introduce(const Judgement& judgement) {
    const auto& [worker, hello, refusal] = judgement;
    WorkerRow& known = row(worker);
    const bool first = known.pid == 0;
    known.host = hello.host;
    known.pid = hello.pid;
    known.device = hello.device_name;
    known.device_uuid = hello.device_uuid;
    known.numerics_class = hello.numerics_class;
    if (refusal) return {refusal->line};
    known.state = "idle";
    admitted_ = true;
    if (!first) return {};
    note_host(hello.host);
    const std::string uuid =
        hello.device_uuid.empty() ? "" : fmt::format(" ({})", hello.device_uuid);
    std::vector<std::string> lines{fmt::format("worker {} on {}: {}{}, {}", worker, hello.host,
                                               hello.device_name, uuid, hello.numerics_class)};
    // Ranks of a node mostly say the same.
    if (!hello.note.empty() && notes_.insert(hello.host + ": " + hello.note).second) {
        lines.push_back(fmt::format("{}: {}", hello.host, hello.note));
    }
    return lines;
}

void WorkerRoster::note_host(const std::string& host) {
    std::string& hosts = header_.hosts;
    if (("," + hosts + ",").find("," + host + ",") != std::string::npos) return;
    hosts += (hosts.empty() ? "" : ",") + host;
}

void WorkerRoster::lose(WorkerId worker, const std::string& reason) {
    set_gone(worker, "lost", reason);
}

void WorkerRoster::refuse(WorkerId worker, const Refusal& refusal) {
    if (refusal.of_numerics) numerics_refusal_ = refusal.reason;
    set_gone(worker, "refused", refusal.reason);
}

void WorkerRoster::set_gone(WorkerId worker, const char* state, const std::string& reason) {
    row(worker).state = state;
    last_loss_ = reason;
}

void WorkerRoster::require_workers() const {
    if (!present().empty()) return;
    if (!admitted_ && !numerics_refusal_.empty()) {
        throw NumericsMismatch{fmt::format(
            "no worker computes like the history: {}. Use the hosts and settings it was begun "
            "with, pin evaluator.isa, or accept the mix with --allow-mixed-numerics",
            numerics_refusal_)};
    }
    throw NoWorkers{fmt::format("no worker is left: {}", last_loss_)};
}

}  // namespace longrope::coordinator
