// SPDX-License-Identifier: Apache-2.0
#include "evaluator/weight_residency.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

WeightResidency parse_weight_residency(const std::string& name) {
    if (name == "resident") return WeightResidency::resident;
    if (name == "streamed") return WeightResidency::streamed;
    throw EvaluatorError{
        fmt::format("weights = \"{}\" is unknown: use \"resident\" or \"streamed\"", name)};
}

void keep_freed_memory() noexcept {
    ::mallopt(M_MMAP_MAX, 0);         // large blocks from the heap too
    ::mallopt(M_TRIM_THRESHOLD, -1);  // whose end is not given back
}

}  // namespace longrope::evaluator
