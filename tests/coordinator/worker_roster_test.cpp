// SPDX-License-Identifier: Apache-2.0
#include "coordinator/worker_roster.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace longrope::coordinator {
namespace {

using protocol::WorkerId;

const std::vector<WorkerId> three{0, 1, 2};

Judgement judgement(WorkerId worker, const std::string& host = "a") {
    Judgement said;
    said.worker = worker;
    said.hello.host = host;
    said.hello.pid = 100 + worker;
    said.hello.device_name = "a CPU";
    said.hello.numerics_class = "class 1";
    return said;
}

Judgement refused(WorkerId worker, bool of_numerics) {
    Judgement said = judgement(worker);
    said.refusal = Refusal{"it is another", "worker is refused: it is another", of_numerics};
    return said;
}

/// The error when all are gone, as its kind and words.
std::string end_of(const WorkerRoster& roster) {
    try {
        roster.require_workers();
    } catch (const NumericsMismatch& error) {
        return std::string{"numerics: "} + error.what();
    } catch (const NoWorkers& error) {
        return error.what();
    }
    return "";
}

TEST_CASE("the table has a row for each worker of this start, and none of an earlier one") {
    RunHistory header;
    header.workers.resize(7);
    WorkerRoster roster{header, three};
    REQUIRE(header.workers.size() == 3);
    CHECK(header.workers[2].rank == 2);
    CHECK(header.workers[2].state == "starting");
    CHECK(roster.present() == three);

    (void)roster.introduce(judgement(1, "b"));
    CHECK(header.workers[1].state == "idle");
    CHECK(header.workers[1].host == "b");
    roster.on_task(1);
    CHECK(header.workers[1].state == "busy");
    roster.on_result(1, 1.5);
    roster.on_result(1, 2.0);
    CHECK(header.workers[1].state == "idle");
    CHECK(header.workers[1].tasks == 2);
    CHECK(header.workers[1].busy_seconds == 3.5);
    roster.on_task(1);
    roster.on_fault(1);
    CHECK(header.workers[1].state == "idle");
    CHECK(header.workers[1].faults == 1);
    roster.on_start(1);
    CHECK(header.workers[1].state == "starting");
}

TEST_CASE("the log hears of a worker once, of a note once per host; a host is named once") {
    RunHistory header;
    WorkerRoster roster{header, three};
    Judgement first = judgement(0);
    first.hello.note = "no driver";
    first.hello.device_uuid = "GPU-1";
    CHECK(roster.introduce(first) ==
          std::vector<std::string>{"worker 0 on a: a CPU (GPU-1), class 1", "a: no driver"});
    CHECK(roster.introduce(first).empty());  // its evaluator was replaced
    Judgement second = judgement(1);
    second.hello.note = "no driver";
    CHECK(roster.introduce(second) == std::vector<std::string>{"worker 1 on a: a CPU, class 1"});
    (void)roster.introduce(judgement(2, "ab"));
    CHECK(header.hosts == "a,ab");
}

TEST_CASE("who is lost or refused stays gone, and the last reason is told when nobody is left") {
    RunHistory header;
    WorkerRoster roster{header, three};
    roster.lose(0, "its rank died");
    CHECK(roster.is_gone(0));
    CHECK(roster.present() == std::vector<WorkerId>{1, 2});
    CHECK(end_of(roster).empty());
    const Judgement other = refused(1, false);
    CHECK(roster.introduce(other) == std::vector<std::string>{other.refusal->line});
    roster.refuse(1, *other.refusal);
    CHECK(header.workers[1].state == "refused");
    CHECK(header.workers[1].pid == 101);
    roster.lose(2, "no word");
    CHECK(end_of(roster) == "no worker is left: no word");
    CHECK(header.hosts.empty());
}

TEST_CASE("where all that came are of another numerics class, that is the error") {
    RunHistory header;
    WorkerRoster roster{header, three};
    bool one_was_admitted = false;
    SUBCASE("and nobody was admitted") {}
    SUBCASE("but not if one was") {
        one_was_admitted = true;
        (void)roster.introduce(judgement(0));
    }
    roster.lose(0, "its rank died");
    for (const WorkerId worker : {1, 2}) roster.refuse(worker, *refused(worker, true).refusal);
    CHECK((end_of(roster).find("numerics: no worker computes like the history: it is another.") ==
           0) == !one_was_admitted);
    if (one_was_admitted) CHECK(end_of(roster) == "no worker is left: it is another");
}

}  // namespace
}  // namespace longrope::coordinator
