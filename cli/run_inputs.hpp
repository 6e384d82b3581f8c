// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "coordinator/configuration.hpp"
#include "coordinator/stage_plan.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::cli {

/// Reads from model and documents what the coordinator must know of them.
/// @throws evaluator::EvaluatorError, coordinator::ConfigurationError
[[nodiscard]] coordinator::RunFacts read_facts(const coordinator::Configuration& configuration);

/// What every rank evaluates with.
[[nodiscard]] protocol::Setup setup_of(const coordinator::Configuration& configuration);

}  // namespace longrope::cli
