// SPDX-License-Identifier: Apache-2.0
// What a search is at a moment, by its history and its lock.
#include "cli/seen_run.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "coordinator/history_file.hpp"
#include "coordinator/run_lock.hpp"
#include "tests/evaluator/temporary_folder.hpp"

namespace longrope::cli {
namespace {

using coordinator::RunState;

struct StoredState {
    RunState state;
    std::string reason;
    std::string name;       ///< where nobody is at work
    bool wanted;            ///< another job, then
    std::string with_lock;  ///< where a coordinator is
};

}  // namespace

TEST_CASE("a coordinator that lives is starting or running, whatever the history says") {
    const tests::TemporaryFolder folder;
    const auto file = folder.path() / "search.h5";
    for (const StoredState& stored : {
             StoredState{RunState::running, "the search is running", "interrupted", true,
                         "running"},
             StoredState{RunState::stopped_early, "SIGTERM", "stopped early", true, "starting"},
             StoredState{RunState::failed, "no worker is left", "failed", false, "starting"},
             StoredState{RunState::waiting, "for a model", "waiting", false, "starting"},
             StoredState{RunState::complete, "every stage is complete", "complete", false,
                         "starting"},
         }) {
        CAPTURE(stored.name);
        coordinator::RunHistory history;
        history.state = stored.state;
        history.state_reason = stored.reason;
        coordinator::write_history(file, history);
        const SeenRun alone = look_at_run(file);
        CHECK(state_name(alone) == stored.name);
        CHECK(should_requeue(alone) == stored.wanted);
        {
            const coordinator::RunLock lock{folder.path(), coordinator::this_process()};
            const SeenRun held = look_at_run(file);
            CHECK(state_name(held) == stored.with_lock);
            CHECK_FALSE(should_requeue(held));
            CHECK(state_reason(held).ends_with(stored.reason));
            const bool names_holder = state_reason(held).find(held.holder) != std::string::npos;
            CHECK(names_holder == (stored.with_lock == "starting"));
        }
    }
}

TEST_CASE("of a search whose coordinator has vanished the last entry of the log is told") {
    const tests::TemporaryFolder folder;
    const auto file = folder.path() / "search.h5";
    coordinator::RunHistory history;
    coordinator::write_history(file, history);
    CHECK(look_at_run(file).last_logged.empty());
    const std::string first = "2026-11-29T14:18:19Z  starting a new search\n";
    const std::string last =
        "2026-11-29T14:18:42Z  error: cannot write run/search.h5\nin two lines";
    folder.write("log.txt", first + last + "\n");
    CHECK(look_at_run(file).last_logged == last);
    folder.write("log.txt", last + "\n" + std::string(100'000, ' ') + "\n" + first);
    CHECK(look_at_run(file).last_logged + "\n" == first);
    folder.write("log.txt", "2026-11-29T14:18:42Z  \xff\n");
    CHECK(look_at_run(file).last_logged == "2026-11-29T14:18:42Z  \uFFFD");
    folder.write("log.txt", "no entry\n");
    CHECK(look_at_run(file).last_logged.empty());

    folder.write("log.txt", first);
    history.state = RunState::complete;
    coordinator::write_history(file, history);
    CHECK(look_at_run(file).last_logged.empty());
}

}  // namespace longrope::cli
