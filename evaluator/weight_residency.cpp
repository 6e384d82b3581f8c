// SPDX-License-Identifier: Apache-2.0
#include "evaluator/weight_residency.hpp"

#include <fmt/format.h>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

WeightResidency parse_weight_residency(const std::string& name) {
    if (name == "resident") return WeightResidency::resident;
    if (name == "streamed") return WeightResidency::streamed;
    throw EvaluatorError{
        fmt::format("weights = \"{}\" is unknown: use \"resident\" or \"streamed\"", name)};
}

}  // namespace longrope::evaluator
