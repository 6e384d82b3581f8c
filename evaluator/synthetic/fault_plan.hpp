// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>

#include "evaluator/evaluator.hpp"
#include "evaluator/synthetic/synthetic_settings.hpp"

namespace longrope::evaluator {

/// What the synthetic evaluator is told to do to itself.
enum class Fault : std::uint8_t { none, crash, hang, not_finite, garbage, start, error };

/// Thrown in place of a result by fault "garbage". It is no error to report: the evaluator process,
/// which owns the socket, answers it by writing bytes that are no frame.
class SyntheticGarbage : public std::runtime_error {
public:
    SyntheticGarbage() : std::runtime_error{"synthetic fault: garbage"} {}
};

/// Decides which tasks of this process fault.
class FaultPlan {
public:
    /// @throws EvaluatorError for an unknown fault, naming the accepted ones, and for fault_every
    /// or
    ///         poison_every without a fault
    explicit FaultPlan(const SyntheticSettings& settings);

    [[nodiscard]] Fault fault() const noexcept { return fault_; }
    /// Counts one task; returns what it must do. After one error all later tasks of the process are
    /// errors too, as on a GPU whose context is broken.
    [[nodiscard]] Fault next(const EvaluationRequest& request) noexcept;
    /// Whether every task with these factors and start tokens faults, in any process.
    [[nodiscard]] bool is_poisonous(const EvaluationRequest& request) const noexcept;

private:
    Fault fault_;
    std::uint32_t fault_every_;
    std::uint32_t poison_every_;
    std::uint64_t tasks_ = 0;
    bool broken_ = false;
};

}  // namespace longrope::evaluator
