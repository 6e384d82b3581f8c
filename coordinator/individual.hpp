// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "genome/breeder.hpp"

namespace longrope::coordinator {

/// How an individual came about. The numbers are those of the history file and never change.
enum class Origin : std::uint8_t { seed = 0, initial_mutation = 1, mutation = 2, crossover = 3 };

/// State of a row of the history. The numbers are those of the history file and never change.
enum class Status : std::uint8_t {
    pending = 0,  ///< not finished: documents are missing
    done = 1,     ///< all documents scored, the mean is finite
    failed = 2,   ///< final: not finite, or run.max_faults faults on a task; score +infinity
    skipped = 3   ///< no unseen child could be bred; factors NaN
};

/// One member of the search, in the order of breeding.
struct Individual {
    std::uint32_t number = 0;
    std::uint32_t generation = 0;  ///< 0: first population
    Origin origin = Origin::seed;
    std::int32_t parent_a = -1;  ///< number of an individual, or -1
    std::int32_t parent_b = -1;
    std::uint32_t frontier = 0;  ///< it saw the results of individuals 0..frontier-1
    std::optional<genome::Candidate> candidate;  ///< empty: skipped
};

}  // namespace longrope::coordinator
