// SPDX-License-Identifier: Apache-2.0
#include "worker/supervisor.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "evaluator/synthetic/synthetic_evaluator.hpp"
#include "tests/evaluator/temporary_folder.hpp"
#include "tests/worker/orphans.hpp"
#include "tests/worker/supervised_evaluator.hpp"

using namespace longrope;
using namespace longrope::worker;

namespace {

evaluator::EvaluationResult evaluate_here(const protocol::Task& task) {
    evaluator::SyntheticEvaluator landscape{{}};
    evaluator::EvaluationRequest request;
    request.factors = task.factors;
    request.start_tokens = task.start_tokens;
    request.attention_scale = task.attention_scale;
    request.positions = task.positions;
    request.document = task.document;
    request.per_token = task.per_token;
    return landscape.evaluate(request);
}

std::set<std::string> open_descriptors(pid_t pid) {
    std::set<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"}) {
        names.insert(entry.path().filename().string());
    }
    return names;
}

/// In a forked process: an evaluator hangs on its task; its number is written to `pipe`.
[[noreturn]] void run_until_killed(int pipe) {
    try {
        SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
        evaluator.submit(small_task(1));
        evaluator.await<protocol::Hello>();
        (void)evaluator.step();  // the task is sent: the evaluator does not look at its socket
        const pid_t pid = evaluator.pid();
        if (::write(pipe, &pid, sizeof pid) == sizeof pid) {
            while (true) ::pause();
        }
    } catch (...) {  // a failed assertion must not run the other tests in this process
    }
    ::_exit(1);
}

/// An evaluator process that says one word, and writes down what it is sent.
Supervisor::Launch recording_launch(const tests::TemporaryFolder& folder,
                                    const protocol::Message& word) {
    const std::vector<std::byte> frame = protocol::encode(word);
    const std::filesystem::path said =
        folder.write("said", {reinterpret_cast<const char*>(frame.data()), frame.size()});
    return shell_launch(fmt::format("cat '{}' >&{}; exec cat <&{} >'{}'", said.string(),
                                    child_socket, child_socket,
                                    (folder.path() / "received").string()));
}

/// The Setup of this number, as the evaluator process was sent it.
protocol::Setup received_setup(SupervisedEvaluator& evaluator, const tests::TemporaryFolder& folder,
                               std::uint32_t number) {
    std::optional<protocol::Message> seen;
    REQUIRE(comes_true([&] {
        (void)evaluator.step();
        std::ifstream stream{folder.path() / "received", std::ios::binary};
        const std::string bytes{std::istreambuf_iterator<char>{stream}, {}};
        protocol::FrameReader reader;
        reader.append(std::as_bytes(std::span{bytes}));
        seen = reader.next();
        return seen && std::get<protocol::Setup>(*seen).number == number;
    }));
    return std::get<protocol::Setup>(*seen);
}

}  // namespace

TEST_CASE("tasks are scored in the order they were submitted, with the evaluator's own numbers") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    for (std::uint64_t id = 1; id <= 5; ++id) evaluator.submit(small_task(id));
    for (std::uint64_t id = 1; id <= 5; ++id) {
        const auto result = evaluator.await<protocol::Result>();
        const auto expected = evaluate_here(small_task(id));
        CHECK(result.id == id);
        CHECK(result.attempt == 1);
        CHECK(result.sum_nll == expected.sum_nll);
        CHECK(result.scored_tokens == 2047);
        CHECK(result.seconds >= 0.0);
    }
}

TEST_CASE("the Hello names model, documents, numerics, host and process") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    const auto hello = evaluator.await<protocol::Hello>();
    const evaluator::SyntheticEvaluator here{{}};
    CHECK(hello.model_digest == here.identity().model_digest);
    CHECK(hello.documents_digest == here.identity().documents_digest);
    CHECK(hello.numerics_class == here.identity().numerics_class);
    CHECK_FALSE(hello.host.empty());
    CHECK(hello.pid != ::getpid());
    CHECK(::getpgid(static_cast<pid_t>(hello.pid)) == hello.pid);  // in a group of its own
}

TEST_CASE("another setup replaces the evaluator, drops its tasks and is named by the new Hello") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    CHECK(evaluator.await<protocol::Hello>().setup == 0);
    (void)evaluator.step();  // it is on the task, for ever
    const pid_t before = evaluator.pid();
    protocol::Setup setup = synthetic_launch().setup;
    setup.number = 1;
    setup.threads = 0;  // as many as before
    evaluator.supervisor().set_up(setup);
    evaluator.submit(small_task(2));
    const auto hello = evaluator.await<protocol::Hello>();
    CHECK(hello.setup == 1);
    CHECK(evaluator.pid() != before);
    CHECK(evaluator.await<protocol::Result>().id == 2);
    CHECK(comes_true([before] { return ::kill(before, 0) != 0; }));
}

TEST_CASE("another setup finds the evaluator on the rank's own share of the node, as before") {
    const tests::TemporaryFolder folder;
    protocol::Hello hello;
    hello.device_uuid = "GPU-7";
    Supervisor::Launch launch = recording_launch(folder, hello);
    launch.setup.threads = 5;
    launch.setup.node_rank = 3;
    SupervisedEvaluator evaluator{launch};
    (void)evaluator.await<protocol::Hello>();
    CHECK(received_setup(evaluator, folder, 0).device_uuid.empty());
    protocol::Setup setup = synthetic_launch().setup;  // as it comes from the coordinator
    setup.number = 1;
    setup.threads = 0;
    evaluator.supervisor().set_up(setup);
    const protocol::Setup received = received_setup(evaluator, folder, 1);
    CHECK(received.node_rank == 3);
    CHECK(received.threads == 5);
    CHECK(received.device_uuid == "GPU-7");
}

TEST_CASE("a supervisor that has given up tries again with another setup") {
    SupervisedEvaluator evaluator{synthetic_launch("start", 1)};
    const auto fault = evaluator.await<protocol::Fault>();
    CHECK(fault.given_up);
    CHECK(fault.setup == 0);
    protocol::Setup setup = synthetic_launch().setup;
    setup.number = 5;
    evaluator.supervisor().set_up(setup);
    CHECK(evaluator.await<protocol::Hello>().setup == 5);
    evaluator.submit(small_task(3));
    CHECK(evaluator.await<protocol::Result>().id == 3);
}

TEST_CASE("a retired supervisor ends its evaluator and starts no other") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    (void)evaluator.await<protocol::Hello>();
    (void)evaluator.step();  // it is on the task, for ever
    const pid_t before = evaluator.pid();
    evaluator.supervisor().retire();
    bool said_something = false;
    CHECK(comes_true([&] {
        said_something = said_something || !evaluator.step().empty();
        return ::kill(before, 0) != 0;
    }));
    evaluator.supervisor().set_up(synthetic_launch().setup);
    evaluator.submit(small_task(2));
    evaluator.jump(std::chrono::seconds{60});
    CHECK(evaluator.supervisor().descriptors().empty());  // there is no process
    CHECK_FALSE(said_something);
}

TEST_CASE("scores per token come in order before the result they belong to") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    protocol::Task task = small_task(1);
    task.per_token = true;
    evaluator.submit(task);
    std::vector<float> nll;
    bool done = false;
    REQUIRE(comes_true([&] {
        for (const protocol::Message& message : evaluator.step()) {
            if (const auto* part = std::get_if<protocol::TokenScores>(&message)) {
                CHECK_FALSE(done);
                CHECK(part->id == 1);
                CHECK(part->offset == nll.size());
                CHECK(part->nll.size() <= protocol::max_token_scores);
                nll.insert(nll.end(), part->nll.begin(), part->nll.end());
            }
            done = done || std::holds_alternative<protocol::Result>(message);
        }
        return done;
    }));
    CHECK(nll == evaluate_here(task).token_nll);
}

TEST_CASE("no descriptor of the supervisor's process reaches the evaluator") {
    const Descriptor inheritable{::open("/dev/null", O_RDONLY)};
    const Descriptor high{::fcntl(inheritable.get(), F_DUPFD, 100)};
    REQUIRE(high.get() >= 100);
    SupervisedEvaluator first{synthetic_launch()};
    first.await<protocol::Hello>();
    SupervisedEvaluator second{synthetic_launch()};
    second.await<protocol::Hello>();
    CHECK(open_descriptors(first.pid()) == std::set<std::string>{"0", "1", "2", "3"});
    CHECK(open_descriptors(second.pid()) == std::set<std::string>{"0", "1", "2", "3"});
}

TEST_CASE("the signals that warn or end a job do not reach the evaluator's work") {
    SupervisedEvaluator evaluator{synthetic_launch()};
    evaluator.await<protocol::Hello>();
    const pid_t pid = evaluator.pid();
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP}) {
        REQUIRE(::kill(pid, signal) == 0);
    }
    evaluator.submit(small_task(1));
    CHECK(evaluator.await<protocol::Result>().id == 1);
    CHECK(evaluator.pid() == pid);
}

TEST_CASE("stop ends and reaps the evaluator, even in the middle of a task") {
    SupervisedEvaluator evaluator{synthetic_launch("hang", 1)};
    evaluator.submit(small_task(1));
    evaluator.submit(small_task(2));
    evaluator.await<protocol::Hello>();
    (void)evaluator.step();
    evaluator.supervisor().stop();
    CHECK_FALSE(has_children());
    CHECK(evaluator.step().empty());
    CHECK_FALSE(has_children());  // no fresh one is started
    CHECK(evaluator.supervisor().descriptors().empty());
}

TEST_CASE("the evaluator dies with its supervisor's process, however that ends") {
    const Orphans orphans;
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    const Descriptor from_child{pipe[0]};
    Descriptor to_parent{pipe[1]};
    const pid_t middle = ::fork();
    REQUIRE(middle >= 0);
    if (middle == 0) run_until_killed(to_parent.get());
    to_parent = Descriptor{};
    pid_t evaluator = -1;
    REQUIRE(::read(from_child.get(), &evaluator, sizeof evaluator) == sizeof evaluator);
    REQUIRE(::kill(middle, SIGKILL) == 0);
    REQUIRE(::waitpid(middle, nullptr, 0) == middle);
    int status = 0;
    REQUIRE(comes_true([&] { return ::waitpid(evaluator, &status, WNOHANG) == evaluator; }));
    CHECK(WIFSIGNALED(status));
    CHECK_FALSE(has_children());
}
