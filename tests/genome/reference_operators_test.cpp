// SPDX-License-Identifier: Apache-2.0
#include "genome/reference_operators.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "genome/baseline_factors.hpp"

using namespace longrope::genome;  // a test of the reference's operators

namespace {

constexpr double extension = 32.0;
const ReferenceSpace space{.max_factor = 1.0 + extension};

std::vector<double> ramp() {
    return ramp_factors({.rotary_pairs = 64, .theta = 1e4, .original_window = 4096},
                        extension * 4096);
}

SeenFactors only(const std::vector<double>& factors) {
    SeenFactors seen;
    seen.insert(factors);
    return seen;
}

/// The passes that a mutation of `parent` needs: the fewest that are enough.
std::uint32_t passes_needed(const std::vector<double>& parent, std::uint32_t seed) {
    const auto enough = [&](std::uint32_t passes) {
        ReferenceSpace limited = space;
        limited.max_passes = passes;
        RandomStream random{seed, "reference test", 0};
        try {
            (void)reference_mutation(parent, limited, only(parent), random);
            return true;
        } catch (const PassesExhausted&) {
            return false;
        }
    };
    std::uint32_t low = 0;
    std::uint32_t high = 1024;
    while (high - low > 1) {
        const std::uint32_t middle = (low + high) / 2;
        (enough(middle) ? high : low) = middle;
    }
    return high;
}

std::size_t differing(const std::vector<double>& a, const std::vector<double>& b,
                      double by_more_than) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < a.size(); ++i) count += std::abs(a[i] - b[i]) > by_more_than;
    return count;
}

}  // namespace

TEST_CASE("the reference's mutation ends at a new vector that does not decrease") {
    const std::vector<double> parent = ramp();
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "reference test", 0};
        const auto child = reference_mutation(parent, space, only(parent), random);
        CHECK(child.size() == parent.size());
        CHECK(std::ranges::is_sorted(child));
        CHECK_FALSE(only(parent).contains(child));
        CHECK(child.front() >= 1.0);
        CHECK(child.back() < space.max_factor + space.step);
        RandomStream again{seed, "reference test", 0};
        CHECK(reference_mutation(parent, space, only(parent), again) == child);
    }
}

TEST_CASE("the reference's mutation is a random walk of about a hundred passes") {
    // The published procedure, simulated apart from this code on the same seed vector: a median of
    // 102 passes, 195 at most, with 92 % of the factors moved by more than a step.
    const std::vector<double> parent = ramp();
    std::vector<std::uint32_t> passes;
    std::size_t moved = 0;
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        passes.push_back(passes_needed(parent, seed));
        RandomStream random{seed, "reference test", 0};
        moved +=
            differing(reference_mutation(parent, space, only(parent), random), parent, space.step);
    }
    std::ranges::sort(passes);
    CHECK(passes[50] > 85);
    CHECK(passes[50] < 120);
    CHECK(passes.back() < 300);
    CHECK(static_cast<double>(moved) / 6400 == doctest::Approx(0.92).epsilon(0.04));
}

TEST_CASE("the reference's mutation takes values from the left neighbour on, off any grid") {
    const std::vector<double> parent{1.0, 1.0 + 1.0 / 3.0, 2.0, 3.0};
    bool off_grid = false;
    for (std::uint32_t seed = 0; seed < 50; ++seed) {
        RandomStream random{seed, "reference test", 0};
        for (const double factor : reference_mutation(parent, space, only(parent), random)) {
            off_grid = off_grid || std::abs(factor * 100 - std::round(factor * 100)) > 0.1;
        }
    }
    CHECK(off_grid);
}

TEST_CASE("the reference's mutation gives up after its passes") {
    ReferenceSpace still = space;
    still.redraw_probability = 0.0;
    RandomStream random{0, "reference test", 0};
    CHECK_THROWS_WITH_AS(
        (void)reference_mutation(ramp(), still, only(ramp()), random),
        doctest::Contains("10000 passes of mutation with probability 0 gave no vector"),
        PassesExhausted);
}

TEST_CASE("the reference's crossover takes each factor from a parent, mostly a single one") {
    int found = 0;
    int single = 0;
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "reference test", 0};
        const auto a = reference_mutation(ramp(), space, only(ramp()), random);
        const auto b = reference_mutation(ramp(), space, only(ramp()), random);
        SeenFactors seen = only(a);
        seen.insert(b);
        const auto child = reference_crossover(a, b, seen, random);
        if (!child) continue;
        ++found;
        CHECK(std::ranges::is_sorted(*child));
        CHECK_FALSE(seen.contains(*child));
        for (std::size_t i = 0; i < a.size(); ++i) {
            CHECK(((*child)[i] == a[i] || (*child)[i] == b[i]));
        }
        if (differing(*child, a, 0.0) == 1) ++single;
    }
    CHECK(found > 60);  // about 63 % of pairs fail early in a search
    CHECK(found < 180);
    CHECK(2 * single > found);
}

TEST_CASE("the reference's crossover of equal parents finds nothing") {
    RandomStream random{0, "reference test", 0};
    CHECK_FALSE(reference_crossover(ramp(), ramp(), only(ramp()), random));
}
