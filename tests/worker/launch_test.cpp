// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sched.h>

#include <set>

#include "worker/mpi_worker.hpp"

using namespace longrope;
using namespace longrope::worker;

namespace {

std::set<int> cores_of_this_process() {
    cpu_set_t set;
    REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
    std::set<int> cores;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.insert(core);
    }
    return cores;
}

protocol::Setup with_threads(std::uint32_t threads) {
    protocol::Setup setup;
    setup.threads = threads;
    return setup;
}

const EvaluatorProgram program{"/proc/self/exe", {"--evaluator-process", "1"}};

}  // namespace

TEST_CASE("the only rank of a node has all its cores and a thread on each") {
    const auto launch = launch_for(program, with_threads(0), 0, 1);
    CHECK(launch.program == program.program);
    CHECK(launch.arguments == program.arguments);
    CHECK(launch.cores.empty());
    CHECK(launch.setup.threads == cores_of_this_process().size());
}

TEST_CASE("the ranks of a node share its cores without overlap") {
    const std::set<int> all = cores_of_this_process();
    const auto count = static_cast<int>(all.size());
    for (int ranks = 2; ranks <= count; ++ranks) {
        INFO(ranks, " ranks on ", count, " cores");
        std::set<int> taken;
        std::size_t sum = 0;
        for (int rank = 0; rank < ranks; ++rank) {
            const auto launch = launch_for(program, with_threads(0), rank, ranks);
            CHECK_FALSE(launch.cores.empty());
            CHECK(launch.setup.threads == static_cast<std::uint32_t>(count / ranks));
            CHECK(launch.setup.threads <= launch.cores.size());
            taken.insert(launch.cores.begin(), launch.cores.end());
            sum += launch.cores.size();
        }
        CHECK(taken == all);
        CHECK(sum == all.size());
    }
}

TEST_CASE("with more ranks than cores nobody is bound and everybody has one thread") {
    const auto ranks = static_cast<int>(2 * cores_of_this_process().size());
    const auto launch = launch_for(program, with_threads(0), ranks - 1, ranks);
    CHECK(launch.cores.empty());
    CHECK(launch.setup.threads == 1);
}

TEST_CASE("a configured number of threads stands, even above the rank's share of cores") {
    const auto share = launch_for(program, with_threads(1), 0, 2);
    CHECK(share.setup.threads == 1);
    const auto many = launch_for(program, with_threads(4096), 0, 2);
    CHECK(many.setup.threads == 4096);
    CHECK(many.cores.empty());  // bound to its share they would only wait for each other
}
