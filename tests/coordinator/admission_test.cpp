// SPDX-License-Identifier: Apache-2.0
#include "coordinator/admission.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace longrope::coordinator {
namespace {

protocol::Hello hello(const std::string& device = "") {
    protocol::Hello hello;
    hello.host = "host1";
    hello.model_digest = "model 1";
    hello.documents_digest = "documents 1";
    hello.build = "abc";
    hello.numerics_class = "class 1";
    hello.device_uuid = device;
    return hello;
}

Requirements required() {
    return {.model_digest = "model 1", .documents_digest = "documents 1", .build = "abc"};
}

/// As where something of class 1 goes on.
Requirements begun() {
    Requirements required_now = required();
    required_now.numerics_class = "class 1";
    return required_now;
}

constexpr Admission::Clock::time_point at_once{};
const std::vector<protocol::WorkerId> four{0, 1, 2, 3};

/// What is made of a worker that can be judged at once.
std::optional<Refusal> judge(Admission& admission, protocol::WorkerId worker,
                             protocol::Hello hello) {
    admission.hear(worker, std::move(hello), at_once);
    std::vector<Judgement> judged = admission.judge(at_once);
    REQUIRE(judged.size() == 1);
    CHECK(judged.front().worker == worker);
    return judged.front().refusal;
}

std::vector<protocol::WorkerId> admitted(const std::vector<Judgement>& judged) {
    std::vector<protocol::WorkerId> workers;
    for (const Judgement& judgement : judged) {
        if (!judgement.refusal) workers.push_back(judgement.worker);
    }
    return workers;
}

TEST_CASE("a worker with another model, other documents, build or class is refused, and told why") {
    using Change = std::function<void(protocol::Hello&)>;
    struct Departure {
        Change change;
        std::string reason;
        bool of_numerics;
    };
    const std::vector<Departure> departures{
        {[](protocol::Hello& hello) { hello.model_digest = "other"; },
         "its model has digest other, the coordinator's model 1", false},
        {[](protocol::Hello& hello) { hello.documents_digest = "other"; },
         "its documents have digest other, the coordinator's documents 1", false},
        {[](protocol::Hello& hello) { hello.build = "def"; },
         "it runs build def, the coordinator abc", false},
        {[](protocol::Hello& hello) { hello.numerics_class = "class 2"; },
         "it computes as \"class 2\", the history was begun as \"class 1\"", true},
    };
    for (const Departure& departure : departures) {
        Admission admission{begun(), four};
        REQUIRE_FALSE(judge(admission, 0, hello()).has_value());
        protocol::Hello other = hello();
        departure.change(other);
        const auto refusal = judge(admission, 1, other);
        REQUIRE(refusal.has_value());
        CHECK(refusal->reason == departure.reason);
        CHECK(refusal->line == "worker 1 on host1 is refused: " + departure.reason);
        CHECK(refusal->of_numerics == departure.of_numerics);
        CHECK(admission.numerics_class() == "class 1");
    }
}

TEST_CASE("classes may differ where that is allowed; what was begun keeps its own") {
    Requirements lenient = required();
    lenient.allow_mixed_numerics = true;
    lenient.numerics_class = "class 0";
    Admission admission{lenient, four};
    CHECK_FALSE(judge(admission, 0, hello()).has_value());
    CHECK(admission.numerics_class() == "class 0");
}

TEST_CASE("a refused worker decides no class and takes no device") {
    Admission admission{required(), std::vector<protocol::WorkerId>{0, 1}};
    protocol::Hello stranger = hello("GPU-1");
    stranger.build = "def";
    stranger.numerics_class = "class 2";
    CHECK(judge(admission, 0, stranger).has_value());
    CHECK(admission.numerics_class().empty());
    CHECK_FALSE(judge(admission, 1, hello("GPU-1")).has_value());
    CHECK(admission.numerics_class() == "class 1");
}

TEST_CASE("something new is computed in the class of most workers, whoever is ready first") {
    protocol::Hello other = hello();
    other.numerics_class = "class 2";
    Admission admission{required(), four};
    admission.hear(3, other, at_once);
    CHECK(admission.judge(at_once).empty());
    admission.hear(0, hello(), at_once);
    admission.hear(1, hello(), at_once);
    SUBCASE("as soon as that is certain") {
        CHECK(admitted(admission.judge(at_once)) == std::vector<protocol::WorkerId>{0, 1});
    }
    SUBCASE("not waiting for one that is gone") {
        admission.release(1);
        CHECK(admission.judge(at_once).empty());  // 2 and 3 may be more than 0
        admission.release(2);
        CHECK(admitted(admission.judge(at_once)) == std::vector<protocol::WorkerId>{0});
    }
    CHECK(admission.numerics_class() == "class 1");
    const auto refusal = judge(admission, 3, other);
    REQUIRE(refusal.has_value());
    CHECK(refusal->of_numerics);
}

TEST_CASE("workers that take long to start are waited for, but not for ever") {
    protocol::Hello other = hello();
    other.numerics_class = "class 2";
    Admission admission{required(), four};
    admission.hear(2, other, at_once + std::chrono::seconds{5});
    const auto last = at_once + std::chrono::seconds{5} + Admission::patience;
    CHECK(admission.judge(last - std::chrono::seconds{1}).empty());
    CHECK(admitted(admission.judge(last)) == std::vector<protocol::WorkerId>{2});
    CHECK(admission.numerics_class() == "class 2");
    CHECK(admission.judge(last).empty());  // each once
}

TEST_CASE("a worker that fails to start is not waited for, but its word counts when it comes") {
    protocol::Hello other = hello();
    other.numerics_class = "class 2";
    Admission admission{required(), std::vector<protocol::WorkerId>{0, 1}};
    admission.hear(1, other, at_once);
    CHECK(admission.judge(at_once).empty());
    admission.on_failed_start(0);
    CHECK(admitted(admission.judge(at_once)) == std::vector<protocol::WorkerId>{1});
    CHECK(judge(admission, 0, hello()).has_value());
}

TEST_CASE("what an evaluator said that has failed since is not judged") {
    Admission admission{required(), four};
    admission.hear(3, hello("GPU-1"), at_once);
    admission.on_failed_start(3);
    const auto later = at_once + 2 * Admission::patience;
    CHECK(admission.judge(later).empty());
    admission.hear(2, hello("GPU-1"), later);
    CHECK(admission.judge(later).empty());  // the others are waited for from now on
    CHECK(admitted(admission.judge(later + Admission::patience)) ==
          std::vector<protocol::WorkerId>{2});
}

TEST_CASE("where classes may be mixed nobody waits") {
    Requirements lenient = required();
    lenient.allow_mixed_numerics = true;
    Admission admission{lenient, four};
    CHECK_FALSE(judge(admission, 3, hello()).has_value());
    CHECK(admission.numerics_class() == "class 1");
}

TEST_CASE("a device is for one worker, until that is gone or has another") {
    Admission admission{begun(), four};
    REQUIRE_FALSE(judge(admission, 0, hello("GPU-1")).has_value());
    CHECK_FALSE(judge(admission, 0, hello("GPU-1")).has_value());  // it started again
    const auto refusal = judge(admission, 1, hello("GPU-1"));
    REQUIRE(refusal.has_value());
    CHECK(refusal->reason == "worker 0 has the same device GPU-1 already");
    CHECK_FALSE(judge(admission, 2, hello("")).has_value());  // CPUs are shared
    CHECK_FALSE(judge(admission, 3, hello("")).has_value());
    SUBCASE("gone") {
        admission.release(0);
    }
    SUBCASE("on another") {
        REQUIRE_FALSE(judge(admission, 0, hello("GPU-2")).has_value());
    }
    CHECK_FALSE(judge(admission, 1, hello("GPU-1")).has_value());
}

TEST_CASE("the next stage's weights are asked for in place of the last one's") {
    Admission admission{begun(), four};
    REQUIRE_FALSE(judge(admission, 0, hello()).has_value());
    admission.require_model("model 2");
    CHECK(judge(admission, 0, hello()).has_value());
    protocol::Hello next = hello("GPU-1");
    next.model_digest = "model 2";
    CHECK_FALSE(judge(admission, 0, next).has_value());
    CHECK(judge(admission, 1, next).has_value());  // has the same device
    admission.on_restart();
    CHECK_FALSE(judge(admission, 1, next).has_value());  // they may have changed their places
}

}  // namespace
}  // namespace longrope::coordinator
