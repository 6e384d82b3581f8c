// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "worker/mpi_worker.hpp"

using namespace longrope;
using namespace longrope::worker;

namespace {

protocol::Setup with_threads(std::uint32_t threads) {
    protocol::Setup setup;
    setup.threads = threads;
    return setup;
}

const EvaluatorProgram program{"/proc/self/exe", {"--evaluator-process", "1"}};
const CoreShare half{{4, 5, 6, 7}, 4};

}  // namespace

TEST_CASE("an evaluator is bound to its rank's share of cores and has a thread on each") {
    const auto launch = launch_for(program, with_threads(0), 1, half);
    CHECK(launch.program == program.program);
    CHECK(launch.arguments == program.arguments);
    CHECK(launch.cores == half.cores);
    CHECK(launch.setup.threads == 4);
    CHECK(launch.setup.node_rank == 1);
}

TEST_CASE("a configured number of threads stands, even above the rank's share of cores") {
    const auto share = launch_for(program, with_threads(1), 0, half);
    CHECK(share.setup.threads == 1);
    CHECK(share.cores == half.cores);
    const auto many = launch_for(program, with_threads(5), 0, half);
    CHECK(many.setup.threads == 5);
    CHECK(many.cores.empty());  // bound to its share they would only wait for each other
}
