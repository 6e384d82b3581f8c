// SPDX-License-Identifier: Apache-2.0
#include "worker/mpi_transport.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <type_traits>
#include <utility>

namespace longrope::worker {
namespace {

constexpr std::chrono::milliseconds longest_wait{1};
constexpr std::chrono::seconds stop_patience{2};
constexpr std::chrono::milliseconds watch_interval{50};  // between two looks at processes

/// Gives the queued messages a bounded time to leave.
template <typename Outboxes>
void flush(Outboxes&& outboxes) {
    const auto end = std::chrono::steady_clock::now() + stop_patience;
    bool pending = true;
    while (pending && std::chrono::steady_clock::now() < end) {
        pending = false;
        outboxes([&pending](Outbox& outbox) {
            outbox.progress();
            pending = pending || !outbox.empty();
        });
        if (pending) ::usleep(1000);
    }
}

/// Several within the time after which either side takes the other's silence for its end.
MpiTransport::Clock::duration ping_interval(MpiTransport::Clock::duration lease,
                                            double watchdog_seconds) {
    const auto watchdog = std::chrono::duration_cast<MpiTransport::Clock::duration>(
        std::chrono::duration<double>{watchdog_seconds});
    return std::min<MpiTransport::Clock::duration>(std::min(lease, watchdog) / 10,
                                                   std::chrono::seconds{5});
}

}  // namespace

MpiTransport::MpiTransport(MpiSession& session, Supervisor::Launch own,
                           const protocol::Setup& setup, Clock::duration lease)
    : own_{std::move(own)},
      lease_{lease},
      ping_interval_{ping_interval(lease, setup.watchdog_seconds)},
      listened_{Clock::now()} {
    const Clock::time_point now = listened_;
    for (int rank = 1; rank < session.size(); ++rank) {
        Peer& peer = peers_.emplace(rank, Peer{Outbox{rank}, now, now, std::nullopt}).first->second;
        if (const auto pid = session.process_of(rank)) peer.process = ProcessWatch::of(*pid);
        peer.outbox.push(protocol::encode(setup));
    }
}

MpiTransport::~MpiTransport() {
    try {
        stop();
    } catch (...) {  // the job ends anyway; the ranks' watchdogs are the backstop
    }
}

std::vector<protocol::WorkerId> MpiTransport::workers() const {
    std::vector<protocol::WorkerId> all{0};
    for (const auto& [rank, peer] : peers_) all.push_back(rank);
    return all;
}

std::vector<protocol::WorkerEvent> MpiTransport::poll(std::chrono::milliseconds wait) {
    const Clock::time_point end = Clock::now() + wait;
    while (true) {
        std::vector<protocol::WorkerEvent> events;
        receive(events);
        find_lost(events);
        ping();
        const bool last = events.empty() && Clock::now() >= end;
        // Results of the other ranks announce themselves to nobody: look again soon.
        std::vector<protocol::WorkerEvent> own =
            own_.poll(events.empty() && !last ? longest_wait : std::chrono::milliseconds{0});
        events.insert(events.end(), std::make_move_iterator(own.begin()),
                      std::make_move_iterator(own.end()));
        if (!events.empty() || last) return events;
    }
}

void MpiTransport::receive(std::vector<protocol::WorkerEvent>& events) {
    while (auto received = receive_arrived()) {
        const auto found = peers_.find(received->source);
        if (found == peers_.end() || found->second.lost) continue;
        found->second.heard = Clock::now();
        try {
            std::visit(
                [&](auto&& m) {
                    using M = std::decay_t<decltype(m)>;
                    if constexpr (std::is_same_v<M, protocol::Leave>) {
                        events.push_back(lose(received->source, found->second, m.reason));
                    } else if constexpr (std::is_constructible_v<
                                             decltype(protocol::WorkerEvent::what), M>) {
                        events.push_back({received->source, std::forward<decltype(m)>(m)});
                    }
                },
                protocol::decode(received->frame));
        } catch (const protocol::ProtocolError& error) {
            events.push_back(lose(received->source, found->second,
                                  fmt::format("it sent garbage: {}", error.what())));
        }
    }
}

void MpiTransport::find_lost(std::vector<protocol::WorkerEvent>& events) {
    const Clock::time_point now = Clock::now();
    // A rank that nobody listened to (a suspended job, a disk that hung) was not silent.
    const Clock::duration pause = now - listened_;
    listened_ = now;
    const bool watch = now - watched_ > watch_interval;
    if (watch) watched_ = now;
    for (auto& [rank, peer] : peers_) {
        if (peer.lost) continue;
        if (pause > lease_ / 2) peer.heard = std::min(now, peer.heard + pause);
        if (!peer.outbox.failure().empty()) {
            events.push_back(lose(rank, peer, peer.outbox.failure()));
        } else if (watch && peer.process && peer.process->ended()) {
            events.push_back(
                lose(rank, peer,
                     fmt::format("its process {} on this host has ended", peer.process->pid())));
        } else if (now - peer.heard > lease_) {
            const double seconds = std::chrono::duration<double>(lease_).count();
            events.push_back(
                lose(rank, peer, fmt::format("no word from it for {:.0f} s", seconds)));
        }
    }
}

void MpiTransport::ping() {
    const Clock::time_point now = Clock::now();
    for (auto& [rank, peer] : peers_) {
        if (peer.lost) continue;
        if (now - peer.pinged > ping_interval_) {
            peer.pinged = now;
            peer.outbox.push(protocol::encode(protocol::Ping{}));
        }
        peer.outbox.progress();
    }
}

protocol::WorkerEvent MpiTransport::lose(protocol::WorkerId rank, Peer& peer, std::string reason) {
    peer.lost = true;
    peer.outbox.abandon();
    return {rank, protocol::Lost{std::move(reason)}};
}

void MpiTransport::send(protocol::WorkerId worker, const protocol::Task& task) {
    if (worker == 0) {
        own_.send(0, task);
    } else if (Peer& peer = peers_.at(worker); !peer.lost) {
        peer.outbox.push(protocol::encode(task));
    }
}

void MpiTransport::retire(protocol::WorkerId worker) {
    if (worker == 0) {
        own_.retire(0);
    } else if (Peer& peer = peers_.at(worker); !peer.lost) {
        peer.outbox.push(protocol::encode(protocol::Retire{}));
    }
}

void MpiTransport::set_up(const protocol::Setup& setup) {
    own_.set_up(setup);
    for (auto& [rank, peer] : peers_) {
        if (!peer.lost) peer.outbox.push(protocol::encode(setup));
    }
}

void MpiTransport::stop() {
    if (std::exchange(stopped_, true)) return;
    own_.stop();
    for (auto& [rank, peer] : peers_) {
        if (!peer.lost) peer.outbox.push(protocol::encode(protocol::Stop{everybody_lives()}));
    }
    flush([this](const auto& each) {
        for (auto& [rank, peer] : peers_) {
            if (!peer.lost) each(peer.outbox);
        }
    });
}

bool MpiTransport::everybody_lives() const noexcept {
    return std::none_of(peers_.begin(), peers_.end(),
                        [](const auto& entry) { return entry.second.lost; });
}

void dismiss_ranks(MpiSession& session) {
    std::vector<Outbox> outboxes;
    for (int rank = 1; rank < session.size(); ++rank) {
        outboxes.emplace_back(rank).push(protocol::encode(protocol::Stop{true}));
    }
    flush([&outboxes](const auto& each) {
        for (Outbox& outbox : outboxes) each(outbox);
    });
}

}  // namespace longrope::worker
