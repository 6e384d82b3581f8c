// SPDX-License-Identifier: Apache-2.0
#include "coordinator/numerics_vote.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "genome/random_stream.hpp"

namespace longrope::coordinator {
namespace {

using protocol::WorkerId;

std::vector<WorkerId> workers(WorkerId count) {
    std::vector<WorkerId> all;
    for (WorkerId worker = 0; worker < count; ++worker) all.push_back(worker);
    return all;
}

TEST_CASE("the class of most workers is chosen, as soon as the others cannot change that") {
    NumericsVote vote{workers(5)};
    CHECK_FALSE(vote.decided().has_value());
    CHECK_FALSE(vote.leading().has_value());
    vote.hear(4, "h100");
    CHECK_FALSE(vote.decided().has_value());
    CHECK(vote.leading() == "h100");
    vote.hear(1, "a100");
    vote.hear(2, "a100");
    CHECK_FALSE(vote.decided().has_value());
    CHECK(vote.leading() == "a100");
    vote.hear(3, "a100");
    CHECK(vote.decided() == "a100");
}

TEST_CASE("of two classes with as many workers, that of the lowest is chosen") {
    NumericsVote vote{workers(4)};
    vote.hear(3, "b");
    vote.hear(2, "b");
    CHECK_FALSE(vote.decided().has_value());  // 0 and 1 may both be of another
    vote.hear(1, "a");
    vote.hear(0, "a");
    CHECK(vote.decided() == "a");

    NumericsVote pair{workers(2)};
    pair.hear(0, "a");
    CHECK(pair.decided() == "a");  // nothing that 1 may say counts more
}

TEST_CASE("a worker that is gone is waited for no more, and its word is forgotten") {
    NumericsVote vote{workers(3)};
    vote.hear(2, "b");
    vote.leave_out(0);
    CHECK_FALSE(vote.decided().has_value());
    vote.leave_out(1);
    CHECK(vote.decided() == "b");
    vote.leave_out(2);
    CHECK_FALSE(vote.leading().has_value());
}

TEST_CASE("in whatever order they speak, the decision is that of all words, and never changes") {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        genome::RandomStream random{seed, "numerics vote", 0};
        const auto count = static_cast<WorkerId>(1 + random.uniform_integer(7));
        std::vector<std::string> classes;
        for (WorkerId i = 0; i < count; ++i) {
            classes.push_back(std::string(1, static_cast<char>('a' + random.uniform_integer(3))));
        }
        NumericsVote whole{workers(count)};
        for (WorkerId i = 0; i < count; ++i) {
            whole.hear(i, classes[static_cast<std::size_t>(i)]);
        }
        std::vector<WorkerId> order = workers(count);
        for (std::size_t i = order.size(); i > 1; --i) {
            std::swap(order[i - 1], order[random.uniform_integer(static_cast<std::uint32_t>(i))]);
        }
        NumericsVote vote{workers(count)};
        for (const WorkerId worker : order) {
            vote.hear(worker, classes[static_cast<std::size_t>(worker)]);
            if (const auto early = vote.decided()) CHECK(early == whole.decided());
        }
        CHECK(vote.decided().has_value());
    }
}

}  // namespace
}  // namespace longrope::coordinator
