// SPDX-License-Identifier: Apache-2.0
#include "worker/evaluator_process.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/worker/supervised_evaluator.hpp"
#include "worker/child_process.hpp"
#include "worker/protocol/messages.hpp"

using namespace longrope;
using namespace longrope::worker;

namespace {

/// This program as an evaluator process of the given supervisor.
struct Evaluator {
    explicit Evaluator(pid_t supervisor)
        : child{"/proc/self/exe", {"--evaluator-process", std::to_string(supervisor)}, {}} {}

    void send(const std::vector<std::byte>& bytes) const {
        REQUIRE(::send(child.socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    std::string end() {
        REQUIRE(comes_true([this] { return child.ended().has_value(); }));
        child.read_output();
        return *child.ended();
    }

    ChildProcess child;
};

}  // namespace

TEST_CASE("an evaluator process whose supervisor is not its parent ends at once") {
    Evaluator evaluator{1'000'000'000};
    CHECK(evaluator.end() == "exited with status 1");
}

TEST_CASE("an evaluator process ends in peace when its supervisor hangs up") {
    Evaluator evaluator{::getpid()};
    REQUIRE(::shutdown(evaluator.child.socket(), SHUT_RDWR) == 0);
    CHECK(evaluator.end() == "exited with status 0");
    CHECK(evaluator.child.output_tail().empty());
}

TEST_CASE("an evaluator process that is spoken to out of turn says so and ends") {
    SUBCASE("a task before the setup") {
        Evaluator evaluator{::getpid()};
        evaluator.send(protocol::encode(small_task(1)));
        CHECK(evaluator.end() == "exited with status 5");
        CHECK(evaluator.child.output_tail() ==
              "evaluator process: the first message was not a setup\n");
    }
    SUBCASE("a second setup") {
        Evaluator evaluator{::getpid()};
        evaluator.send(protocol::encode(synthetic_launch().setup));
        evaluator.send(protocol::encode(synthetic_launch().setup));
        CHECK(evaluator.end() == "exited with status 5");
        CHECK(evaluator.child.output_tail() == "evaluator process: a message that is not a task\n");
    }
    SUBCASE("bytes that are no frame") {
        Evaluator evaluator{::getpid()};
        evaluator.send(std::vector<std::byte>(64, std::byte{'x'}));
        CHECK(evaluator.end() == "exited with status 5");
        CHECK(evaluator.child.output_tail().starts_with("evaluator process: no frame"));
    }
}
