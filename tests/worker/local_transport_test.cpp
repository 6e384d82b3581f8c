// SPDX-License-Identifier: Apache-2.0
#include "worker/local_transport.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include "tests/worker/orphans.hpp"
#include "tests/worker/supervised_evaluator.hpp"

using namespace longrope;
using namespace longrope::worker;

namespace {

/// Everything that comes until `count` events are there.
std::vector<protocol::WorkerEvent> await_events(LocalTransport& transport, std::size_t count) {
    std::vector<protocol::WorkerEvent> events;
    REQUIRE(comes_true([&] {
        for (auto& event : transport.poll(std::chrono::milliseconds{20})) {
            events.push_back(std::move(event));
        }
        return events.size() >= count;
    }));
    return events;
}

}  // namespace

TEST_CASE("a world of one: worker 0 says Hello and answers its tasks") {
    LocalTransport transport{synthetic_launch()};
    CHECK(transport.workers() == std::vector<protocol::WorkerId>{0});
    auto events = await_events(transport, 1);
    CHECK(events.front().worker == 0);
    CHECK(std::holds_alternative<protocol::Hello>(events.front().what));
    transport.send(0, small_task(1));
    transport.send(0, small_task(2));
    events = await_events(transport, 2);
    CHECK(std::get<protocol::Result>(events[0].what).id == 1);
    CHECK(std::get<protocol::Result>(events[1].what).id == 2);
}

TEST_CASE("a refusal to start arrives as a fault that gives the worker up") {
    LocalTransport transport{synthetic_launch("start")};
    const auto events = await_events(transport, 1);
    CHECK(std::get<protocol::Fault>(events.front().what).given_up);
}

TEST_CASE("after stop the evaluator has ended and nothing comes any more") {
    LocalTransport transport{synthetic_launch("hang", 1)};
    transport.send(0, small_task(1));
    (void)await_events(transport, 1);
    transport.stop();
    CHECK_FALSE(has_children());
    CHECK(transport.poll(std::chrono::milliseconds{0}).empty());
}
