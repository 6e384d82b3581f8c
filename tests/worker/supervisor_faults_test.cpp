// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "tests/evaluator/temporary_folder.hpp"
#include "tests/worker/orphans.hpp"
#include "tests/worker/supervised_evaluator.hpp"
#include "worker/supervisor.hpp"

using namespace longrope;
using namespace longrope::worker;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Faults at start until the supervisor gives up; between them the clock jumps over the back-off.
int faults_until_given_up(SupervisedEvaluator& evaluator, std::string& last_reason) {
    for (int faults = 1; faults <= 10; ++faults) {
        const auto fault = evaluator.await<protocol::Fault>();
        CHECK(fault.at_start);
        last_reason = fault.reason;
        if (fault.given_up) return faults;
        evaluator.jump(std::chrono::seconds{60});
    }
    return 0;
}

/// While it lives, a killed process is not seen to have ended by its parent: the system tells a
/// tracer first, and this one does not listen. So it looks where a driver holds a process.
class HeldBack {
public:
    explicit HeldBack(pid_t process) : tracer_{::fork()} {
        if (tracer_ != 0) {
            int status = 0;
            works_ = ::waitpid(tracer_, &status, WUNTRACED) == tracer_ && WIFSTOPPED(status);
            return;
        }
        if (::ptrace(PTRACE_SEIZE, process, nullptr, nullptr) != 0) ::_exit(1);
        ::raise(SIGSTOP);
        ::_exit(0);
    }
    HeldBack(const HeldBack&) = delete;
    HeldBack& operator=(const HeldBack&) = delete;
    ~HeldBack() {
        if (!works_) return;
        ::kill(tracer_, SIGKILL);
        ::waitpid(tracer_, nullptr, 0);
    }
    [[nodiscard]] bool works() const noexcept { return works_; }

private:
    pid_t tracer_;
    bool works_ = false;
};

}  // namespace

TEST_CASE("a crash is the fault of the task under way and costs the tasks behind it nothing") {
    SupervisedEvaluator evaluator{synthetic_launch("crash", 2)};
    for (std::uint64_t id = 1; id <= 3; ++id) evaluator.submit(small_task(id));
    CHECK(evaluator.await<protocol::Result>().id == 1);
    const pid_t first = evaluator.pid();
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.id == 2);
    CHECK(fault.attempt == 1);
    CHECK_FALSE(fault.at_start);
    CHECK_FALSE(fault.given_up);
    CHECK(contains(fault.reason, "(pid " + std::to_string(first) + ") was killed by signal 9"));
    CHECK(contains(fault.reason, "lack of memory"));
    CHECK(evaluator.await<protocol::Result>().id == 3);
    CHECK(evaluator.pid() != first);
}

TEST_CASE("a task that passes its deadline counts as hanging and its evaluator is replaced") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 2)};
    for (std::uint64_t id = 1; id <= 3; ++id) evaluator.submit(small_task(id));
    CHECK(evaluator.await<protocol::Result>().id == 1);
    (void)evaluator.step();
    evaluator.jump(std::chrono::seconds{599});
    CHECK(evaluator.step().empty());
    evaluator.jump(std::chrono::seconds{2});
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.id == 2);
    CHECK(contains(fault.reason, "did not finish within 600 s and counts as hanging"));
    CHECK(evaluator.await<protocol::Result>().id == 3);
}

TEST_CASE("bytes that are no message cost the evaluator, and the reason says so") {
    SupervisedEvaluator evaluator{synthetic_launch("garbage", 2)};
    for (std::uint64_t id = 1; id <= 3; ++id) evaluator.submit(small_task(id));
    CHECK(evaluator.await<protocol::Result>().id == 1);
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.id == 2);
    CHECK(contains(fault.reason, "sent garbage"));
    CHECK(evaluator.await<protocol::Result>().id == 3);
}

TEST_CASE("a score that is not finite is a result like others") {
    SupervisedEvaluator evaluator{synthetic_launch("not_finite", 1)};
    evaluator.submit(small_task(1));
    const auto result = evaluator.await<protocol::Result>();
    CHECK(result.id == 1);
    CHECK(std::isnan(result.sum_nll));
}

TEST_CASE(
    "an error that the evaluator reports costs it its life: it may have no other answer left") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    protocol::Task task = small_task(1);
    task.factors.pop_back();
    evaluator.submit(task);
    evaluator.submit(small_task(2));
    evaluator.await<protocol::Hello>();
    const pid_t pid = evaluator.pid();
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.id == 1);
    CHECK(contains(fault.reason, "15"));
    CHECK(evaluator.await<protocol::Result>().id == 2);
    CHECK(evaluator.pid() != pid);

    SupervisedEvaluator broken{synthetic_launch("error", 2)};
    for (std::uint64_t id = 1; id <= 3; ++id) broken.submit(small_task(id));
    CHECK(broken.await<protocol::Result>().id == 1);
    const auto error = broken.await<protocol::Fault>();
    CHECK(error.id == 2);
    CHECK_FALSE(error.at_start);
    CHECK(contains(error.reason, "synthetic fault: error"));
    CHECK(broken.await<protocol::Result>().id == 3);
}

TEST_CASE("time in which the supervisor itself stood still does not count as hanging") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    evaluator.await<protocol::Hello>();
    (void)evaluator.step();
    evaluator.leap(std::chrono::hours{5});
    CHECK(evaluator.step().empty());
    evaluator.jump(std::chrono::seconds{590});
    CHECK(evaluator.step().empty());
    evaluator.jump(std::chrono::seconds{20});
    CHECK(contains(evaluator.await<protocol::Fault>().reason, "counts as hanging"));

    SupervisedEvaluator starting{shell_launch("sleep 1000")};
    CHECK(starting.step().empty());
    starting.leap(std::chrono::hours{5});
    CHECK(starting.step().empty());
}

TEST_CASE("time in which the job was suspended is none of a task's") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    evaluator.submit(small_task(1));
    evaluator.await<protocol::Hello>();  // and the task is sent
    evaluator.leap(std::chrono::hours{1});
    CHECK(evaluator.await<protocol::Result>().seconds == 0.0);  // less than nothing would be left
    evaluator.submit(small_task(2));
    CHECK(evaluator.await<protocol::Result>().seconds > 0.0);
}

TEST_CASE("a refusal where evaluators have started before is tried again, with patience") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    evaluator.await<protocol::Hello>();
    protocol::Setup refused = synthetic_launch("start").setup;  // a model that is not there yet
    refused.number = 1;
    evaluator.supervisor().set_up(refused);
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.at_start);
    CHECK_FALSE(fault.given_up);
    CHECK(contains(fault.reason, "refuses to begin"));
    evaluator.jump(std::chrono::seconds{19});
    CHECK(evaluator.step().empty());
    std::string reason;
    CHECK(faults_until_given_up(evaluator, reason) == 2);
    CHECK(contains(reason, "refuses to begin"));
}

TEST_CASE("a worker whose evaluator does not end when killed says so, once, and is given up") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    evaluator.await<protocol::Hello>();
    (void)evaluator.step();
    const HeldBack held{evaluator.pid()};
    if (!held.works()) {
        MESSAGE("skipped: this system lets no process trace another");
        return;
    }
    evaluator.jump(std::chrono::seconds{601});
    CHECK(evaluator.await<protocol::Fault>().id == 1);
    evaluator.submit(small_task(2));
    evaluator.jump(std::chrono::seconds{595});
    CHECK(evaluator.step().empty());
    evaluator.jump(std::chrono::seconds{10});
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.at_start);
    CHECK(fault.given_up);
    CHECK(contains(fault.reason, "(pid " + std::to_string(evaluator.pid()) + ") does not end"));
    evaluator.jump(std::chrono::seconds{2000});
    CHECK(evaluator.step().empty());
}

TEST_CASE("an evaluator that says why it cannot start is given up at once in its own words") {
    SupervisedEvaluator evaluator{synthetic_launch("start")};
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.at_start);
    CHECK(fault.given_up);
    CHECK(fault.reason == "synthetic fault: start, the evaluator refuses to begin");
    CHECK(evaluator.supervisor().given_up());
    evaluator.jump(std::chrono::seconds{3600});
    REQUIRE(comes_true([&] { return evaluator.step().empty() && !has_children(); }));
}

TEST_CASE("a refusal that may pass is tried again, though none has started here yet") {
    const tests::TemporaryFolder folder;
    protocol::Fault busy;
    busy.at_start = true;
    busy.may_pass = true;
    busy.reason = "another process holds the GPU";
    const std::vector<std::byte> frame = protocol::encode(busy);
    const auto said =
        folder.write("said", {reinterpret_cast<const char*>(frame.data()), frame.size()});
    SupervisedEvaluator evaluator{shell_launch("cat '" + said.string() + "' >&" +
                                               std::to_string(child_socket) + "; exec sleep 1000")};
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK_FALSE(fault.given_up);
    evaluator.jump(std::chrono::seconds{19});
    CHECK(evaluator.step().empty());
    std::string reason;
    CHECK(faults_until_given_up(evaluator, reason) == 2);
    CHECK(reason == busy.reason);
}

TEST_CASE("an evaluator that crashes before its Hello is tried three times, then given up") {
    SupervisedEvaluator evaluator{shell_launch("echo no such device >&2; exit 3")};
    std::string reason;
    CHECK(faults_until_given_up(evaluator, reason) == 3);
    CHECK(contains(reason, "exited with status 3; it had printed: no such device"));
}

TEST_CASE("an evaluator that never says Hello, or says it wrong, is a failed start") {
    std::string reason;
    SupervisedEvaluator silent{shell_launch("sleep 1000")};
    CHECK(silent.step().empty());
    silent.jump(std::chrono::seconds{599});
    CHECK(silent.step().empty());
    silent.jump(std::chrono::seconds{2});
    const auto fault = silent.await<protocol::Fault>();
    CHECK(fault.at_start);
    CHECK_FALSE(fault.given_up);
    CHECK(contains(fault.reason, "did not get ready within 600 s"));

    SupervisedEvaluator babbling{shell_launch("echo good morning, supervisor >&3; sleep 1000")};
    CHECK(faults_until_given_up(babbling, reason) == 3);
    CHECK(contains(reason, "sent garbage"));

    Supervisor::Launch missing = synthetic_launch();
    missing.program = "/nowhere/longrope";
    SupervisedEvaluator absent{missing};
    CHECK(faults_until_given_up(absent, reason) == 3);
    CHECK(reason == "cannot start /nowhere/longrope: No such file or directory");
}

TEST_CASE("an evaluator killed between two tasks costs no task anything") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    for (std::uint64_t id = 1; id <= 6; ++id) {  // more often than starts may fail in a row
        evaluator.submit(small_task(id));
        CHECK(evaluator.await<protocol::Result>().id == id);
        REQUIRE(::kill(evaluator.pid(), SIGKILL) == 0);
        const auto fault = evaluator.await<protocol::Fault>();
        CHECK(fault.at_start);
        CHECK_FALSE(fault.given_up);
    }
}

TEST_CASE("evaluators that die idle again and again before they answered anything are given up") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    for (int deaths = 1; deaths <= 3; ++deaths) {
        evaluator.await<protocol::Hello>();
        REQUIRE(::kill(evaluator.pid(), SIGKILL) == 0);
        const auto fault = evaluator.await<protocol::Fault>();
        CHECK(fault.at_start);
        CHECK(fault.given_up == (deaths == 3));
        evaluator.jump(std::chrono::seconds{10});
    }
}

TEST_CASE("an evaluator killed during a task is that task's fault, with signal and pid") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    evaluator.await<protocol::Hello>();
    (void)evaluator.step();  // the task is sent, if the Hello's step did not send it already
    const pid_t pid = evaluator.pid();
    REQUIRE(::kill(pid, SIGALRM) == 0);
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.id == 1);
    CHECK_FALSE(fault.at_start);
    CHECK(contains(fault.reason, "was killed by signal 14 (Alarm clock)"));
    CHECK_FALSE(contains(fault.reason, "memory"));
}

TEST_CASE("the reason of a fault fits a message: how it ended comes first, then the last words") {
    SupervisedEvaluator evaluator{
        shell_launch("i=0; while [ $i -lt 2000 ]; do echo word $i; i=$((i+1)); done; exit 7")};
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.reason.size() <= protocol::max_reason);
    CHECK(contains(fault.reason, "exited with status 7; it had printed: …"));
    CHECK(fault.reason.ends_with("word 1998\nword 1999"));
}

TEST_CASE("no fresh evaluator is started before the old one is gone") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    evaluator.await<protocol::Hello>();
    for (std::uint64_t task = 1; task <= 3; ++task) {
        const pid_t old = evaluator.pid();
        (void)evaluator.step();
        evaluator.jump(std::chrono::seconds{601});
        CHECK(evaluator.await<protocol::Fault>().id == task);
        evaluator.submit(small_task(task + 1));
        evaluator.await<protocol::Hello>();
        CHECK(::kill(old, 0) == -1);
    }
}
