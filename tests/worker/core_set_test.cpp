// SPDX-License-Identifier: Apache-2.0
#include "worker/core_set.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace longrope::worker;

namespace {

CoreSet range(int first, int last) {
    CoreSet set;
    for (int core = first; core < last; ++core) set.insert(core);
    return set;
}

}  // namespace

TEST_CASE("a set holds cores by their number, up to the largest that Linux has") {
    CoreSet set;
    CHECK(set.empty());
    for (const int core : {-1, 8191, 0, 63, 64, 1500, 8192}) set.insert(core);
    CHECK(set.cores() == std::vector<int>{0, 63, 64, 1500, 8191});
    CHECK_FALSE(set.empty());
    CHECK(set.meets(range(1500, 1501)));
    CHECK_FALSE(set.meets(range(65, 1500)));
}

TEST_CASE("a thread that is bound may run on those cores, and no others") {
    std::thread{[] {
        const CoreSet before = CoreSet::of();
        REQUIRE_FALSE(before.empty());
        CoreSet last;
        last.insert(before.cores().back());
        REQUIRE(last.bind());
        CHECK(CoreSet::of() == last);
        CHECK_FALSE(range(CoreSet::limit - 1, CoreSet::limit).bind());
        CHECK(CoreSet::of() == last);
    }}.join();
}

TEST_CASE("the only rank of a node stays on all its cores and counts on each") {
    const std::vector<CoreSet> node{range(2, 7)};
    const CoreShare share = core_share(node, 0);
    CHECK(share.cores.empty());
    CHECK(share.number == 5);
}

TEST_CASE("ranks that may run on the same cores share them without overlap") {
    constexpr int cores = 13;
    for (int ranks = 2; ranks <= cores; ++ranks) {
        INFO(ranks, " ranks");
        const std::vector<CoreSet> node(static_cast<std::size_t>(ranks), range(3, 3 + cores));
        std::vector<int> taken;
        for (std::size_t rank = 0; rank < node.size(); ++rank) {
            const CoreShare share = core_share(node, rank);
            CHECK(share.number == cores / ranks);
            CHECK(share.cores.size() >= static_cast<std::size_t>(share.number));
            taken.insert(taken.end(), share.cores.begin(), share.cores.end());
        }
        CHECK(taken == node[0].cores());
    }
}

TEST_CASE("ranks that were given cores of their own keep all of them") {
    const std::vector<CoreSet> node{range(0, 16), range(16, 32), range(32, 36)};
    CHECK(core_share(node, 0).number == 16);
    CHECK(core_share(node, 1).number == 16);
    CHECK(core_share(node, 2).number == 4);
    for (std::size_t rank = 0; rank < node.size(); ++rank) {
        CHECK(core_share(node, rank).cores.empty());  // as the launcher bound it
    }
}

TEST_CASE("ranks of one socket share its cores, those of another have theirs") {
    const std::vector<CoreSet> node{range(0, 8), range(8, 16), range(0, 8), range(8, 16)};
    CHECK(core_share(node, 0).cores == std::vector<int>{0, 1, 2, 3});
    CHECK(core_share(node, 2).cores == std::vector<int>{4, 5, 6, 7});
    CHECK(core_share(node, 3).cores == std::vector<int>{12, 13, 14, 15});
}

TEST_CASE("where the cores of ranks overlap in part they are counted as shared, nobody is bound") {
    const std::vector<CoreSet> node{range(0, 8), range(4, 12), range(12, 16)};
    CHECK(core_share(node, 0).number == 4);
    CHECK(core_share(node, 0).cores.empty());
    CHECK(core_share(node, 1).number == 4);
    CHECK(core_share(node, 2).number == 4);
}

TEST_CASE("with more ranks than cores, or none told, nobody is bound and counts on one") {
    for (const CoreSet& cores : {range(0, 2), CoreSet{}}) {
        const std::vector<CoreSet> node(3, cores);
        CHECK(core_share(node, 2).cores.empty());
        CHECK(core_share(node, 2).number == 1);
    }
}
