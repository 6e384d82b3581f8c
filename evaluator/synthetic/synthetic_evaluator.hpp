// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include "evaluator/evaluator.hpp"
#include "evaluator/synthetic/fault_plan.hpp"
#include "evaluator/synthetic/landscape.hpp"

namespace longrope::evaluator {

/// The closed-form landscape as an evaluator, with programmable duration and faults: what
/// everything around an evaluation is tested with. Fault "crash" kills this process with SIGKILL,
/// as the kernel does when memory runs out; "hang" never returns.
class SyntheticEvaluator final : public Evaluator {
public:
    using Sleep = std::function<void(std::chrono::nanoseconds)>;

    /// @param sleep  how a task takes its time
    /// @throws EvaluatorError naming the setting that is out of range, or for fault "start"
    explicit SyntheticEvaluator(const SyntheticSettings& settings, Sleep sleep = sleep_for_real);

    [[nodiscard]] const EvaluatorIdentity& identity() const override { return identity_; }
    /// @throws EvaluatorError    if the request does not fit the landscape
    /// @throws SyntheticGarbage  in place of a result, where fault "garbage" is due
    [[nodiscard]] EvaluationResult evaluate(const EvaluationRequest& request) override;

    /// duration_ms * (1 + spread * u), u uniform in [-1, 1) by the content of the task.
    [[nodiscard]] std::chrono::nanoseconds duration(const EvaluationRequest& request) const;

private:
    static void sleep_for_real(std::chrono::nanoseconds duration);

    SyntheticSettings settings_;
    Sleep sleep_;
    Landscape landscape_;
    FaultPlan faults_;
    EvaluatorIdentity identity_;
};

}  // namespace longrope::evaluator
