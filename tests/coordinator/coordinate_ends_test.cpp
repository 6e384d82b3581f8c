// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "coordinator/coordinate.hpp"
#include "tests/coordinator/coordinated_run.hpp"
#include "tests/coordinator/direct_run.hpp"

using namespace longrope;
using namespace longrope::coordinator;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Starts a run that must end with this error; its message.
template <typename Error>
std::string error_of(CoordinatedRun& run, ScriptedTransport& transport) {
    try {
        (void)run.start(transport);
    } catch (const Error& error) {
        return error.what();
    }
    FAIL("it ended without the error");
    return "";
}

/// Lets a run stop after this many scores.
void stop_after(CoordinatedRun& run, const ScriptedTransport& transport, std::uint64_t scores) {
    run.stop_reason = [&transport, scores]() -> std::optional<std::string> {
        if (transport.answered() >= scores) return "interrupted (SIGINT)";
        return std::nullopt;
    };
}

}  // namespace

TEST_CASE("a search stopped after any number of scores goes on where it was, and finds the same") {
    const RunPlan whole = finished_run(small_configuration());
    const std::string expected = found_digest(whole.snapshot().stages);
    CoordinatedRun run;
    std::uint64_t answered = 0;
    for (std::uint32_t start = 1; start <= 60; ++start) {
        INFO("start ", start);
        ScriptedTransport transport{3, start};
        stop_after(run, transport, 1 + start % 9);
        const Ending ending = run.start(transport);
        answered += transport.answered();
        const RunHistory stored = run.stored();
        CHECK(stored.starts == start);
        CHECK(stored.stored_at_start == run.plan->restored());
        CHECK(run.watcher->stored_scores.back() == scores_in(stored.stages.front()));
        if (ending == Ending::complete) break;
        CHECK(stored.state == RunState::stopped_early);
        CHECK(stored.state_reason == "interrupted (SIGINT)");
    }
    CHECK(run.stored().state == RunState::complete);
    CHECK(run.found() == expected);
    std::uint64_t in_one_go = 0;
    {
        CoordinatedRun single;
        ScriptedTransport transport{1};
        CHECK(single.start(transport) == Ending::complete);
        in_one_go = transport.answered();
    }
    CHECK(answered == in_one_go);  // a stop loses only what was under way
}

TEST_CASE("with all workers lost a search ends in the evaluator's own words and keeps its scores") {
    CoordinatedRun run;
    ScriptedTransport transport{2, 1};
    transport.at_poll = [&](std::uint64_t poll) {
        if (poll == 30) transport.lose(0, "no word from it for 300 s");
        if (poll == 40) {
            transport.say(1, protocol::Fault{0, 0, true, true, "CUDA: no device is left"});
        }
    };
    CHECK(error_of<NoWorkers>(run, transport) == "no worker is left: CUDA: no device is left");
    const RunHistory stored = run.stored();
    CHECK(stored.state == RunState::failed);
    CHECK(stored.state_reason == "no worker is left: CUDA: no device is left");
    CHECK(scores_in(stored.stages.front()) >= transport.answered());
    CHECK(run.start(2) == Ending::complete);
}

TEST_CASE("a worker that never gets ready is no loss while another works") {
    CoordinatedRun run;
    ScriptedTransport transport{3, 1};
    transport.first_word = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        if (worker == 0) return protocol::Fault{0, 0, true, true, "no such device"};
        if (worker == 1) return protocol::Fault{0, 0, true, false, "crashed"};  // and says no more
        return ScriptedTransport::hello(worker);
    };
    CHECK(run.start(transport) == Ending::complete);
    const RunHistory stored = run.stored();
    CHECK(stored.workers[0].state == "lost");
    CHECK(stored.workers[1].state == "starting");
    CHECK(stored.workers[2].tasks == transport.answered());
    CHECK(contains(run.watcher->lines, "worker 0: no such device"));
}

TEST_CASE("the second rank on a GPU is refused, and goes on where it has another") {
    for (const bool same : {true, false}) {
        CoordinatedRun run;
        ScriptedTransport transport{2, 1};
        transport.first_word = [same](protocol::WorkerId worker) -> ScriptedTransport::What {
            protocol::Hello hello = ScriptedTransport::hello(worker);
            hello.device_name = "NVIDIA H100";
            hello.device_uuid = same || worker == 0 ? "GPU-1" : "GPU-2";
            return hello;
        };
        CHECK(run.start(transport) == Ending::complete);
        const RunHistory stored = run.stored();
        CHECK(stored.workers[0].device_uuid == "GPU-1");
        CHECK(stored.workers[0].device == "NVIDIA H100");
        CHECK(stored.workers[0].host == "host0");
        CHECK((stored.workers[1].state == "refused") == same);
        INFO(run.watcher->lines);
        CHECK(contains(run.watcher->lines, "worker 0 on host0: NVIDIA H100 (GPU-1), scripted 1"));
        CHECK(contains(run.watcher->lines, "worker 0 has the same device GPU-1 already") == same);
        CHECK(contains(run.watcher->lines, "worker 1 on host1: NVIDIA H100 (GPU-2)") != same);
    }
}

TEST_CASE("why a host's workers took no GPU is logged, once") {
    CoordinatedRun run;
    ScriptedTransport transport{4, 1};
    transport.first_word = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        hello.note = "the CPU computes, since the GPU cannot: no driver";
        return hello;
    };
    CHECK(run.start(transport) == Ending::complete);
    const std::string lines = run.watcher->lines;
    for (const std::string host : {"host0", "host1"}) {
        const std::string said = host + ": the CPU computes, since the GPU cannot: no driver";
        REQUIRE(contains(lines, said));
        CHECK(lines.find(said) == lines.rfind(said));
    }
}

TEST_CASE("a worker that is not admitted is refused, and its later words do not bring it back") {
    CoordinatedRun run;
    ScriptedTransport transport{2, 1};
    transport.first_word = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        if (worker == 1) hello.model_digest = "other";
        return hello;
    };
    transport.at_poll = [&](std::uint64_t poll) {
        if (poll == 5) transport.say(1, protocol::Result{1, 1, 1.0, 2047, 0.1});
        if (poll == 6) transport.say(1, protocol::Fault{1, 1, false, false, "crashed"});
        if (poll == 7) transport.say(1, ScriptedTransport::hello(1));
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(transport.retired() == std::set<protocol::WorkerId>{1});  // its memory is free
    CHECK(run.stored().workers[1].state == "refused");
    CHECK(run.stored().workers[1].tasks == 0);
    INFO(run.watcher->lines);
    CHECK(contains(run.watcher->lines, "its model has digest other, the coordinator's model 1"));
}

TEST_CASE("what an evaluator computed is not heard before it has been judged") {
    CoordinatedRun reference;
    ScriptedTransport healthy{2};
    REQUIRE(reference.start(healthy) == Ending::complete);
    CoordinatedRun run;
    ScriptedTransport transport{2};
    transport.at_poll = [&transport](std::uint64_t poll) {
        if (poll != 2) return;  // a new evaluator has read weights that were overwritten, say
        protocol::Hello other = ScriptedTransport::hello(0);
        other.model_digest = "other";
        transport.say(0, other);
        transport.say(0, protocol::Result{1, 1, 1.0, 2047, 0.01});
    };
    CHECK(run.start(transport) == Ending::complete);
    CHECK(run.stored().workers[0].state == "refused");
    CHECK(run.found() == reference.found());
}

TEST_CASE("a history goes on only in the numerics class it was begun in, unless that is allowed") {
    CoordinatedRun run;
    ScriptedTransport first{1};
    stop_after(run, first, 20);
    CHECK(run.start(first) == Ending::stopped_early);
    run.stop_reason = [] { return std::nullopt; };

    const auto other_class = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        hello.numerics_class = "scripted 2";
        return hello;
    };
    ScriptedTransport second{2};
    second.first_word = other_class;
    const std::string text = error_of<NumericsMismatch>(run, second);
    CHECK(contains(text, "computes as \"scripted 2\", the history was begun as \"scripted 1\""));
    CHECK(contains(text, "--allow-mixed-numerics"));
    CHECK(scores_in(run.stored().stages.front()) >= 20);

    run.configuration.run.allow_mixed_numerics = true;
    ScriptedTransport third{2};
    third.first_word = other_class;
    CHECK(run.start(third) == Ending::complete);
    const RunHistory stored = run.stored();
    CHECK(stored.numerics_class == "scripted 1");
    const StageHistory& stage = stored.stages.front();
    std::uint64_t before = 0;
    const auto& rows = stage.evaluations.rows;
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const std::uint64_t own = scores_held(stage.evaluations, row) - rows[row].other_numerics;
        INFO("individual ", row, ": ", own, " scores of the class that the history began in");
        before += own;
        CHECK((own == 0 || row < 20));
    }
    CHECK(before > 0);
    CHECK(other_numerics_in(stage.heldout) == scores_in(stage.heldout));
}

TEST_CASE("the loss of the last good worker is not blamed on one of another class") {
    CoordinatedRun run;
    ScriptedTransport transport{2};
    transport.first_word = [](protocol::WorkerId worker) -> ScriptedTransport::What {
        protocol::Hello hello = ScriptedTransport::hello(worker);
        if (worker == 1) hello.numerics_class = "scripted 2";
        return hello;
    };
    transport.at_poll = [&](std::uint64_t poll) {
        if (poll == 10) transport.lose(0, "its rank died");
    };
    CHECK(error_of<NoWorkers>(run, transport) == "no worker is left: its rank died");
}

TEST_CASE("near the time limit no task is started that cannot end in time") {
    using Clock = std::chrono::steady_clock;
    CoordinatedRun run;
    run.stop_by = Clock::now() + std::chrono::hours{1};
    ScriptedTransport transport{2, 1};
    transport.task_seconds = 5000;  // as it says; the test takes no time
    CHECK(run.start(transport) == Ending::stopped_early);
    CHECK(transport.answered() == 2);  // before the first nothing was known
    CHECK(run.stored().state == RunState::stopped_early);
    CHECK(run.stored().state_reason == "no further task fits into the time limit");
    CHECK(scores_in(run.stored().stages.front()) == 2);

    run.stop_by = Clock::now() - std::chrono::seconds{1};
    CHECK(run.start(2) == Ending::stopped_early);
    CHECK(run.stored().state_reason == "the time limit is reached");
    run.stop_by = Clock::now() + std::chrono::hours{2};
    CHECK(run.start(2) == Ending::complete);
}

TEST_CASE("starts that store nothing are counted until one stores something") {
    CoordinatedRun run;
    const auto start = [&run](std::uint64_t scores) {
        ScriptedTransport transport{2, 1};
        stop_after(run, transport, scores);
        CHECK(run.start(transport) == Ending::stopped_early);
        return run.stored().idle_starts;
    };
    CHECK(start(0) == 0);  // none before it
    CHECK(start(0) == 1);
    CHECK(start(0) == 2);
    CHECK(start(5) == 3);
    CHECK(start(0) == 0);  // the one before it stored five
    CHECK(start(9) == 1);
    CHECK(start(9) == 0);
}

TEST_CASE("a search where nothing has a finite score ends for want of parents, stored as it is") {
    CoordinatedRun run;
    ScriptedTransport transport{2};
    transport.sum = [](const protocol::Task&) { return std::nan(""); };
    CHECK(contains(error_of<NoParents>(run, transport), "0 of the first 8 individuals"));
    CHECK(run.stored().state == RunState::failed);
    // Each is one that another worker has confirmed, as far as there was one.
    const std::uint64_t stored = scores_in(run.stored().stages.front());
    CHECK(stored >= 8 * 3);
    CHECK(stored <= transport.answered());
    CHECK(stored >= transport.answered() / 2);
}

TEST_CASE("a coordinator that lost its lock stops and leaves the other's history alone") {
    CoordinatedRun run;
    ScriptedTransport transport{2};
    const auto takeover = [&run] {
        std::ofstream{run.directory() / "lock"} << "host=other pid=1\n";
        std::ofstream{run.file()} << "the other's";
    };
    transport.at_poll = [&](std::uint64_t poll) {
        if (poll == 50) takeover();
    };
    CHECK_FALSE(error_of<LockLost>(run, transport).empty());
    std::ifstream file{run.file()};
    const std::string content{std::istreambuf_iterator<char>{file}, {}};
    CHECK(content == "the other's");
}

TEST_CASE("a search that cannot tell what is stored fails, unless it is complete by then") {
    CoordinatedRun run;
    ScriptedTransport transport{2};
    std::uint64_t limit = 0;
    run.at_stored = [&limit](std::uint64_t scores) {
        if (scores >= limit) throw std::runtime_error{"the log is full"};
    };
    CHECK(error_of<std::runtime_error>(run, transport) == "the log is full");
    CHECK(run.stored().state == RunState::failed);
    CHECK(run.stored().state_reason == "the log is full");

    CoordinatedRun whole;
    CHECK(whole.start(2) == Ending::complete);
    limit = scores_in(whole.stored().stages.front());
    ScriptedTransport second{2};
    CHECK(error_of<std::runtime_error>(run, second) == "the log is full");
    CHECK(run.stored().state == RunState::complete);
    CHECK(run.found() == whole.found());
}

TEST_CASE("a history that cannot be written ends the run before anything is computed") {
    CoordinatedRun run;
    std::filesystem::create_directories(run.directory());
    ScriptedTransport transport{1};
    const RunLock lock{run.directory(), this_process()};
    RunPlan plan{run.configuration, small_facts(), std::nullopt};
    RecordingWatcher watcher;
    const auto nowhere = run.directory() / "no such folder" / "search.h5";
    CHECK_THROWS_AS((void)coordinate(plan, transport, nowhere, lock, watcher, run.stop_reason),
                    HistoryWriteError);
    CHECK(transport.sent() == 0);
}

TEST_CASE("a history that can no longer be written ends a run under way") {
    CoordinatedRun run;
    ScriptedTransport transport{2};
    transport.at_poll = [&](std::uint64_t poll) {
        if (poll != 20) return;
        std::filesystem::remove(run.file());
        std::filesystem::create_directory(run.file());  // no file can be renamed onto it
        std::ofstream{run.file() / "occupied"} << "x";
    };
    CHECK_FALSE(error_of<HistoryWriteError>(run, transport).empty());
}
