// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

/// An evaluator that runs a model's forward pass: backend "cpu" or "reference"; "auto" is the
/// fastest that this machine can run.
/// @throws EvaluatorError naming the setting, file or tensor that cannot be used
[[nodiscard]] std::unique_ptr<Evaluator> make_transformer_evaluator(
    const EvaluatorSettings& settings);

}  // namespace longrope::evaluator
