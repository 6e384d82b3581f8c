// SPDX-License-Identifier: Apache-2.0
#include "coordinator/admission.hpp"

#include <doctest/doctest.h>

#include <functional>
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
        Admission admission{required()};
        REQUIRE_FALSE(admission.judge(0, hello()).has_value());
        protocol::Hello other = hello();
        departure.change(other);
        const auto refusal = admission.judge(1, other);
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
    Admission admission{lenient};
    CHECK_FALSE(admission.judge(0, hello()).has_value());
    CHECK(admission.numerics_class() == "class 0");
}

TEST_CASE("a refused worker decides no class and takes no device") {
    Admission admission{required()};
    protocol::Hello stranger = hello("GPU-1");
    stranger.build = "def";
    stranger.numerics_class = "class 2";
    CHECK(admission.judge(0, stranger).has_value());
    CHECK(admission.numerics_class().empty());
    CHECK_FALSE(admission.judge(1, hello("GPU-1")).has_value());
}

TEST_CASE("a device is for one worker, until that is gone or has another") {
    Admission admission{required()};
    REQUIRE_FALSE(admission.judge(0, hello("GPU-1")).has_value());
    CHECK_FALSE(admission.judge(0, hello("GPU-1")).has_value());  // it started again
    const auto refusal = admission.judge(1, hello("GPU-1"));
    REQUIRE(refusal.has_value());
    CHECK(refusal->reason == "worker 0 has the same device GPU-1 already");
    CHECK_FALSE(admission.judge(2, hello("")).has_value());  // CPUs are shared
    CHECK_FALSE(admission.judge(3, hello("")).has_value());
    SUBCASE("gone") {
        admission.release(0);
    }
    SUBCASE("on another") {
        REQUIRE_FALSE(admission.judge(0, hello("GPU-2")).has_value());
    }
    CHECK_FALSE(admission.judge(1, hello("GPU-1")).has_value());
}

TEST_CASE("the next stage's weights are asked for in place of the last one's") {
    Admission admission{required()};
    REQUIRE_FALSE(admission.judge(0, hello()).has_value());
    admission.require_model("model 2");
    CHECK(admission.judge(0, hello()).has_value());
    protocol::Hello next = hello();
    next.model_digest = "model 2";
    CHECK_FALSE(admission.judge(0, next).has_value());
}

}  // namespace
}  // namespace longrope::coordinator
