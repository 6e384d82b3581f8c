// SPDX-License-Identifier: Apache-2.0
#include "coordinator/schedule.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <stdexcept>

using longrope::coordinator::Schedule;
using longrope::coordinator::ScheduleSizes;

TEST_CASE("the paper's sizes take 1344 evaluations, halved ones 672") {
    CHECK(Schedule{ScheduleSizes{64, 16, 16, 40}}.total() == 1344);
    CHECK(Schedule{ScheduleSizes{32, 8, 8, 40}}.total() == 672);
}

TEST_CASE("the first population sees nothing, later generations all before them") {
    const Schedule schedule{{.population = 64, .mutations = 16, .crossovers = 16, .iterations = 3}};
    struct Row {
        std::uint32_t individual;
        std::uint32_t generation;
        std::uint32_t frontier;
        bool mutation;
    };
    for (const Row& row : {Row{0, 0, 0, false}, Row{63, 0, 0, false}, Row{64, 1, 64, true},
                           Row{79, 1, 64, true}, Row{80, 1, 64, false}, Row{95, 1, 64, false},
                           Row{96, 2, 96, true}, Row{159, 3, 128, false}}) {
        INFO("individual ", row.individual);
        CHECK(schedule.generation_of(row.individual) == row.generation);
        CHECK(schedule.frontier(row.individual) == row.frontier);
        CHECK(schedule.is_mutation(row.individual) == row.mutation);
    }
}

TEST_CASE("generations follow each other without gaps") {
    for (const ScheduleSizes& sizes : {ScheduleSizes{64, 16, 16, 5}, ScheduleSizes{1, 1, 0, 4},
                                       ScheduleSizes{7, 0, 3, 2}, ScheduleSizes{5, 0, 0, 0}}) {
        INFO("population ", sizes.population);
        const Schedule schedule{sizes};
        for (std::uint32_t generation = 0; generation <= sizes.iterations; ++generation) {
            const std::uint32_t first = schedule.first_of(generation);
            const std::uint32_t last = schedule.last_of(generation);
            for (std::uint32_t individual = first; individual <= last; ++individual) {
                CHECK(schedule.generation_of(individual) == generation);
            }
            if (generation > 0) CHECK(first == schedule.last_of(generation - 1) + 1);
        }
        CHECK(schedule.first_of(0) == 0);
        CHECK(schedule.last_of(sizes.iterations) + 1 == schedule.total());
    }
}

TEST_CASE("more iterations change nothing for the individuals before") {
    const Schedule few{{.population = 8, .mutations = 2, .crossovers = 3, .iterations = 2}};
    const Schedule many{{.population = 8, .mutations = 2, .crossovers = 3, .iterations = 9}};
    for (std::uint32_t individual = 0; individual < few.total(); ++individual) {
        INFO("individual ", individual);
        CHECK(few.generation_of(individual) == many.generation_of(individual));
        CHECK(few.frontier(individual) == many.frontier(individual));
        CHECK(few.is_mutation(individual) == many.is_mutation(individual));
    }
}

TEST_CASE("sizes that make no search are refused") {
    CHECK_THROWS_AS((Schedule{ScheduleSizes{0, 16, 16, 40}}), std::invalid_argument);
    CHECK_THROWS_AS((Schedule{ScheduleSizes{64, 0, 0, 1}}), std::invalid_argument);
    CHECK_THROWS_AS((Schedule{ScheduleSizes{64, 1, 0, 2147483647}}), std::invalid_argument);
    CHECK_THROWS_AS((Schedule{ScheduleSizes{64, 4294967295, 4294967295, 4294967295}}),
                    std::invalid_argument);
}
