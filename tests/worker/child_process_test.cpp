// SPDX-License-Identifier: Apache-2.0
#include "worker/child_process.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/orphans.hpp"
#include "tests/worker/supervised_evaluator.hpp"
#include "worker/core_set.hpp"

using namespace longrope::worker;  // the test is about this namespace alone

namespace {

std::unique_ptr<ChildProcess> shell(const std::string& script) {
    return std::make_unique<ChildProcess>("/bin/sh", std::vector<std::string>{"-c", script},
                                          std::vector<int>{});
}

std::string await_end(ChildProcess& child) {
    REQUIRE(comes_true([&child] {
        child.read_output();
        return child.ended().has_value();
    }));
    child.read_output();
    return *child.ended();
}

/// What the child writes to its socket, up to a newline.
std::string read_line(const ChildProcess& child) {
    std::string line;
    REQUIRE(comes_true([&] {
        std::array<char, 64> piece{};
        const ssize_t got = ::recv(child.socket(), piece.data(), piece.size(), 0);
        if (got > 0) line.append(piece.data(), static_cast<std::size_t>(got));
        return line.ends_with('\n');
    }));
    return line.substr(0, line.size() - 1);
}

}  // namespace

TEST_CASE("a child's end is told in words, and what it printed on both streams is kept") {
    const auto child = shell("echo out; echo err >&2; exit 3");
    CHECK(await_end(*child) == "exited with status 3");
    CHECK(child->output_tail() == "out\nerr\n");

    const auto killed = shell("kill -SEGV $$");
    CHECK(await_end(*killed) == "was killed by signal 11 (Segmentation fault)");
    CHECK(killed->kill() == *killed->ended());  // killing it again changes nothing
    CHECK_FALSE(has_children());
}

TEST_CASE("a child runs on with nothing to say until it is killed and reaped") {
    const auto child = shell("sleep 1000");
    CHECK_FALSE(child->ended().has_value());
    CHECK(child->kill() == "was killed by signal 9 (Killed)");
    CHECK_FALSE(has_children());
}

TEST_CASE("a child that goes out of scope is killed and reaped") {
    const pid_t pid = shell("sleep 1000")->pid();
    CHECK(::kill(pid, 0) == -1);
    CHECK_FALSE(has_children());
}

TEST_CASE("a child's standard input is empty and descriptor 3 is its socket") {
    const auto child = shell("cat; read line <&3; echo \"got $line\" >&3");
    REQUIRE(::send(child->socket(), "word\n", 5, MSG_NOSIGNAL) == 5);
    CHECK(read_line(*child) == "got word");
    CHECK(await_end(*child) == "exited with status 0");
    CHECK(child->output_tail().empty());
}

TEST_CASE("only the end of a long output is kept") {
    const auto child = shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done");
    CHECK(await_end(*child) == "exited with status 0");
    CHECK(child->output_tail().size() == 4096);
    CHECK(child->output_tail().ends_with("line 2998\nline 2999\n"));
}

TEST_CASE("a child that never stops printing does not hold its owner") {
    const auto child = shell("exec yes");
    for (int i = 0; i < 20; ++i) child->read_output();  // comes to an end
    CHECK_FALSE(child->ended().has_value());
}

TEST_CASE("the children of a child are killed with it, also when it ends by itself") {
    const Orphans orphans;
    for (const bool by_itself : {true, false}) {
        INFO("by itself: ", by_itself);
        const auto child =
            shell(std::string{"sleep 1000 & echo $! >&3; "} + (by_itself ? "exit 0" : "wait"));
        const pid_t grandchild = std::atoi(read_line(*child).c_str());
        REQUIRE(grandchild > 0);
        if (by_itself) {
            CHECK(await_end(*child) == "exited with status 0");
        } else {
            CHECK(child->kill() == "was killed by signal 9 (Killed)");
        }
        int status = 0;
        REQUIRE(comes_true([&] { return ::waitpid(grandchild, &status, WNOHANG) == grandchild; }));
        CHECK(WIFSIGNALED(status));
        CHECK_FALSE(has_children());
    }
}

TEST_CASE("a child is bound to the cores it was given") {
    const std::vector<int> last{CoreSet::of().cores().back()};
    const ChildProcess child{"/bin/sh", {"-c", "sleep 1000"}, last};
    CHECK(CoreSet::of(child.pid()).cores() == last);
}

TEST_CASE("a program that cannot be started or bound is an error that leaves no process behind") {
    CHECK_THROWS_WITH_AS((ChildProcess{"/nowhere/program", {}, {}}),
                         "cannot start /nowhere/program: No such file or directory", WorkerError);
    CHECK_THROWS_WITH_AS((ChildProcess{"/bin/sh", {"-c", "sleep 1000"}, {CoreSet::limit - 1}}),
                         "cannot bind the evaluator to its cores: Invalid argument", WorkerError);
    CHECK_FALSE(has_children());
}
