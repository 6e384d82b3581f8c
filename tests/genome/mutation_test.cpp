// SPDX-License-Identifier: Apache-2.0
#include "genome/mutation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <vector>

using longrope::genome::Genome;
using longrope::genome::mutate;
using longrope::genome::mutate_widely;
using longrope::genome::RandomStream;
using longrope::genome::SearchSpace;

namespace {

using Operator = Genome (*)(const Genome&, const SearchSpace&, double, RandomStream&);
constexpr std::array<Operator, 2> operators{&mutate, &mutate_widely};

const SearchSpace& small_space() {
    static const SearchSpace space{8, 0.01, 8.0, {0, 4, 16}};
    return space;
}

}  // namespace

TEST_CASE("mutants stay non-decreasing and inside the search space") {
    const std::vector<Genome> parents{{{0, 0, 0, 0, 0, 0, 0, 0}, 0},
                                      {{700, 700, 700, 700, 700, 700, 700, 700}, 16},
                                      {{0, 0, 3, 150, 151, 400, 700, 700}, 4}};
    for (const Operator breed : operators) {
        for (const Genome& parent : parents) {
            for (const double probability : {0.0, 0.3, 1.0}) {
                for (std::uint32_t seed = 0; seed < 200; ++seed) {
                    INFO("p = ", probability, ", seed = ", seed);
                    RandomStream random{seed, "mutation test", 0};
                    const Genome child = breed(parent, small_space(), probability, random);
                    CHECK(std::ranges::is_sorted(child.grid_steps()));
                    CHECK(small_space().contains(child));
                }
            }
        }
    }
}

TEST_CASE("equal streams give equal mutants") {
    const Genome parent{{0, 0, 3, 150, 151, 400, 700, 700}, 4};
    for (const Operator breed : operators) {
        for (std::uint32_t seed = 0; seed < 200; ++seed) {
            INFO("seed = ", seed);
            RandomStream first{seed, "mutation test", 3};
            RandomStream second{seed, "mutation test", 3};
            CHECK(breed(parent, small_space(), 0.3, first) ==
                  breed(parent, small_space(), 0.3, second));
        }
    }
}

TEST_CASE("a mutant without redraws equals its parent") {
    const Genome parent{{0, 0, 3, 150, 151, 400, 700, 700}, 4};
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "mutation test", 0};
        CHECK(mutate(parent, small_space(), 0.0, random) == parent);
    }
}

TEST_CASE("start tokens are redrawn with the mutation probability, uniformly") {
    const Genome parent{{0, 0, 3, 150, 151, 400, 700, 700}, 4};
    std::array<int, 3> counts{};  // of 0, 4, 16 start tokens
    for (std::uint32_t seed = 0; seed < 6000; ++seed) {
        RandomStream random{seed, "mutation test", 0};
        const std::uint32_t tokens = mutate(parent, small_space(), 0.3, random).start_tokens();
        ++counts.at(tokens == 0 ? 0 : tokens == 4 ? 1 : 2);
    }
    // Changed to one of the others with 0.3 / 3 each; five standard deviations.
    CHECK(std::abs(counts[0] - 600) < 117);
    CHECK(std::abs(counts[2] - 600) < 117);
}

TEST_CASE("mutation moves the interior of a plateau") {
    // Linear interpolation: every interior factor has a single value between its neighbours.
    const Genome plateau{std::vector<std::uint32_t>(8, 300), 0};
    int moved = 0;
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        RandomStream random{seed, "mutation test", 0};
        const Genome child = mutate(plateau, small_space(), 0.05, random);
        if (child.grid_steps()[4] != 300) ++moved;
    }
    // Without block moves redraws would have to work inwards from both ends in one pass.
    CHECK(moved > 20);
}

TEST_CASE("a redrawn factor is uniform in its logarithm") {
    const SearchSpace space{1, 0.0001, 8.0, {0}};
    constexpr std::uint32_t draws = 4000;
    constexpr std::size_t parts = 8;
    std::array<int, parts> counts{};
    for (std::uint32_t seed = 0; seed < draws; ++seed) {
        RandomStream random{seed, "mutation test", 0};
        const double drawn = space.factors(mutate(Genome{{0}, 0}, space, 1.0, random)).front();
        const auto part = static_cast<std::size_t>(parts * std::log(drawn) / std::log(8.0));
        ++counts.at(std::min(part, parts - 1));
    }
    // Equal parts of [0, ln 8] are hit alike, within five standard deviations of the binomial.
    constexpr double expected = double{draws} / parts;
    const double deviation = std::sqrt(expected * (1.0 - 1.0 / parts));
    for (const int count : counts) CHECK(std::abs(count - expected) < 5.0 * deviation);
}

TEST_CASE("wide mutation reaches every genome of a small space, even without redraws") {
    const SearchSpace space{3, 1.0, 3.0, {0}};  // factors 1, 2, 3
    const Genome parent{{1, 1, 1}, 0};
    std::set<std::vector<std::uint32_t>> children;
    for (std::uint32_t seed = 0; seed < 10000; ++seed) {
        RandomStream random{seed, "mutation test", 0};
        const Genome child = mutate_widely(parent, space, 0.0, random);
        children.insert({child.grid_steps().begin(), child.grid_steps().end()});
    }
    CHECK(children.size() == 10);  // all non-decreasing vectors of 3 factors with 3 values
}

TEST_CASE("mutation refuses a probability outside [0, 1] and a parent outside the space") {
    const Genome parent{{0, 0, 3, 150, 151, 400, 700, 700}, 4};
    const Genome stranger{{0, 0, 3, 150, 151, 400, 700, 701}, 4};
    RandomStream random{0, "mutation test", 0};
    for (const Operator breed : operators) {
        for (const double probability : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
            CHECK_THROWS_AS((void)breed(parent, small_space(), probability, random),
                            std::domain_error);
        }
        CHECK_THROWS_AS((void)breed(stranger, small_space(), 0.3, random), std::domain_error);
    }
}
