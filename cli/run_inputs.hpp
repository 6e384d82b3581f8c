// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "coordinator/configuration.hpp"
#include "coordinator/stage_plan.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::cli {

/// Reads from model and documents what the coordinator must know of them.
/// @throws evaluator::EvaluatorError, coordinator::ConfigurationError
[[nodiscard]] coordinator::RunFacts read_facts(const coordinator::Configuration& configuration);

/// What a search can be planned with before there are weights: config.json is read, and the
/// documents file if it is there; without it, as many documents as the configuration names, each
/// long enough. Digests are empty.
/// @throws evaluator::EvaluatorError, coordinator::ConfigurationError
[[nodiscard]] coordinator::RunFacts planned_facts(const coordinator::Configuration& configuration);

/// What every rank evaluates with.
[[nodiscard]] protocol::Setup setup_of(const coordinator::Configuration& configuration);

}  // namespace longrope::cli
