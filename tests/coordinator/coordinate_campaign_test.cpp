// SPDX-License-Identifier: Apache-2.0
// Workers that change their model between the stages of a run.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/coordinator/coordinated_run.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_campaign.hpp"

using namespace longrope;
using namespace longrope::coordinator;

namespace {

std::string model_of(const protocol::Setup& setup) {
    return setup.model_path == "tuned" ? "model 2" : "model 1";
}

std::string expected_digest() {
    RunPlan plan{small_campaign(), campaign_facts(), std::nullopt};
    DirectRun{plan}.run();
    return found_digest(plan.snapshot().stages);
}

CoordinatedRun campaign_run() {
    return CoordinatedRun{small_campaign(), campaign_facts(), campaign_setups()};
}

}  // namespace

TEST_CASE("workers load each stage's model and find what one finds without them") {
    const std::string expected = expected_digest();
    for (const int workers : {1, 2, 5}) {
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
            INFO(workers, " workers, seed ", seed);
            CoordinatedRun run = campaign_run();
            ScriptedTransport transport{workers, seed};
            transport.model_of = model_of;
            CHECK(run.start(transport) == Ending::complete);
            CHECK(transport.setups() == 2);  // to the tuned model for two stages, and back
            CHECK(run.found() == expected);
            CHECK(run.stored().state == RunState::complete);
        }
    }
}

TEST_CASE("words of an evaluator that has been replaced are not heard") {
    CoordinatedRun run = campaign_run();
    ScriptedTransport transport{3, 1};
    transport.model_of = model_of;
    // On their way when the workers get another setup: a first word, and a last one.
    transport.at_set_up = [&transport] {
        protocol::Hello old = ScriptedTransport::hello(1);
        old.setup = static_cast<std::uint32_t>(transport.setups());
        old.model_digest = "of the old setup";
        transport.say(1, old);
        protocol::Fault gone;
        gone.at_start = true;
        gone.given_up = true;
        gone.setup = static_cast<std::uint32_t>(transport.setups());
        gone.reason = "of the old setup";
        transport.say(2, gone);
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(run.found() == expected_digest());
    for (const WorkerRow& worker : run.stored().workers) CHECK(worker.state == "idle");
}

TEST_CASE("with another model workers may have each other's devices") {
    CoordinatedRun run = campaign_run();
    ScriptedTransport transport{3};
    transport.model_of = model_of;
    const auto device = [](protocol::WorkerId number) { return "GPU-" + std::to_string(number); };
    transport.first_word = [&device](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        hello.device_uuid = device(worker);
        return hello;
    };
    transport.device_after_set_up = [&](protocol::WorkerId worker) {
        return device((worker + transport.setups()) % 3);
    };
    CHECK(run.start(transport) == Ending::complete);
    for (const WorkerRow& worker : run.stored().workers) {
        CHECK(worker.state == "idle");
        CHECK(worker.device_uuid == device((worker.rank + 2) % 3));
    }
}

TEST_CASE("a worker that is lost stays lost, and one with another model is refused") {
    CoordinatedRun run = campaign_run();
    ScriptedTransport transport{3, 2};
    transport.model_of = model_of;
    transport.at_poll = [&transport](std::uint64_t poll) {
        if (poll == 30) transport.lose(2, "no word from it");
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(run.found() == expected_digest());
    CHECK(run.stored().workers[2].state == "lost");

    CoordinatedRun other = campaign_run();
    ScriptedTransport without{1};
    without.model_of = [](const protocol::Setup&) { return std::string{"model 1"}; };
    CHECK_THROWS_WITH_AS(
        other.start(without),
        "no worker is left: its model has digest model 1, the coordinator's model 2", NoWorkers);
}

TEST_CASE("a run ends as waiting at a stage without model, and the next start goes on") {
    CoordinatedRun run = campaign_run();
    run.facts = campaign_facts("");
    ScriptedTransport first{2};
    first.model_of = model_of;
    CHECK(run.start(first) == Ending::waiting);
    CHECK(run.stored().state == RunState::waiting);
    CHECK(run.stored().state_reason ==
          "stage \"4096\" waits for its model: tuned has no config.json yet");
    REQUIRE(run.stored().stages.size() == 1);

    run.facts = campaign_facts();
    ScriptedTransport second{2};
    second.model_of = model_of;
    second.first_word = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        hello.model_digest = "model 2";  // the transport is started for the stage that is next
        return hello;
    };
    CHECK(run.start(second) == Ending::complete);
    CHECK(second.setups() == 1);  // back to the first model for the last stage
    CHECK(run.found() == expected_digest());
}

TEST_CASE("a campaign stopped at any moment goes on with the right model") {
    const std::string expected = expected_digest();
    for (std::uint64_t stop = 20; stop < 700; stop += 33) {
        INFO("stopped in poll ", stop);
        CoordinatedRun run = campaign_run();
        std::uint64_t polls = 0;
        for (int start = 0; start < 100; ++start) {
            const std::uint64_t end = polls + stop;
            run.stop_reason = [&]() -> std::optional<std::string> {
                return ++polls > end ? std::optional<std::string>{"asked to"} : std::nullopt;
            };
            ScriptedTransport transport{2, stop};
            transport.model_of = model_of;
            transport.first_word = [&run](protocol::WorkerId worker) -> ScriptedTransport::What {
                protocol::Hello hello = ScriptedTransport::hello(worker);
                hello.model_digest = model_of(campaign_setups()[run.plan->next_stage()]);
                return hello;
            };
            if (run.start(transport) == Ending::complete) break;
            CHECK(run.stored().state == RunState::stopped_early);
        }
        CHECK(run.found() == expected);
    }
}
