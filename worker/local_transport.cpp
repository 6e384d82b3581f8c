// SPDX-License-Identifier: Apache-2.0
#include "worker/local_transport.hpp"

#include <poll.h>

#include <utility>

namespace longrope::worker {

void wait_readable(const std::vector<int>& descriptors, std::chrono::milliseconds wait) {
    std::vector<pollfd> watched;
    for (const int descriptor : descriptors) watched.push_back({descriptor, POLLIN, 0});
    ::poll(watched.data(), watched.size(), static_cast<int>(wait.count()));
}

LocalTransport::LocalTransport(Supervisor::Launch launch) : supervisor_{std::move(launch)} {}

std::vector<protocol::WorkerEvent> LocalTransport::poll(std::chrono::milliseconds wait) {
    std::vector<protocol::Message> messages = supervisor_.step(Supervisor::Clock::now());
    if (messages.empty() && wait.count() > 0) {
        wait_readable(supervisor_.descriptors(), wait);
        messages = supervisor_.step(Supervisor::Clock::now());
    }
    std::vector<protocol::WorkerEvent> events;
    for (protocol::Message& message : messages) {
        std::visit(
            [&events](auto&& m) {
                using M = std::decay_t<decltype(m)>;
                if constexpr (std::is_constructible_v<decltype(protocol::WorkerEvent::what), M>) {
                    events.push_back({0, std::forward<decltype(m)>(m)});
                }
            },
            std::move(message));
    }
    return events;
}

void LocalTransport::send(protocol::WorkerId, const protocol::Task& task) {
    supervisor_.submit(task);
}

void LocalTransport::retire(protocol::WorkerId) {
    supervisor_.retire();
}

void LocalTransport::set_up(const protocol::Setup& setup) {
    supervisor_.set_up(setup);
}

void LocalTransport::stop() {
    supervisor_.stop();
}

}  // namespace longrope::worker
