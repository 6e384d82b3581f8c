// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/fault_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "evaluator/synthetic/content_hash.hpp"

namespace longrope::evaluator {

namespace {

constexpr std::array<std::string_view, 7> fault_names{"none",    "crash", "hang", "not_finite",
                                                      "garbage", "start", "error"};

Fault parse_fault(const std::string& name) {
    const auto found = std::ranges::find(fault_names, name);
    if (found == fault_names.end()) {
        throw EvaluatorError{fmt::format("evaluator.synthetic.fault = \"{}\", expected one of {}",
                                         name, fmt::join(fault_names, ", "))};
    }
    return static_cast<Fault>(found - fault_names.begin());
}

}  // namespace

FaultPlan::FaultPlan(const SyntheticSettings& settings)
    : fault_{parse_fault(settings.fault)},
      fault_every_{settings.fault_every},
      poison_every_{settings.poison_every} {
    if (fault_ == Fault::none && (fault_every_ != 0 || poison_every_ != 0)) {
        throw EvaluatorError{fmt::format(
            "evaluator.synthetic.fault_every = {} and poison_every = {}, but fault = \"none\": "
            "name a fault, or expected both to be 0",
            fault_every_, poison_every_)};
    }
}

Fault FaultPlan::next(const EvaluationRequest& request) noexcept {
    ++tasks_;
    const bool due = fault_every_ != 0 && tasks_ % fault_every_ == 0;
    const bool faults = broken_ || due || is_poisonous(request);
    broken_ = faults && fault_ == Fault::error;
    return faults ? fault_ : Fault::none;
}

bool FaultPlan::is_poisonous(const EvaluationRequest& request) const noexcept {
    if (poison_every_ == 0) return false;
    const std::uint64_t hash =
        ContentHash{}.add("poison").add(request.factors).add(request.start_tokens).value();
    return hash % poison_every_ == 0;
}

}  // namespace longrope::evaluator
