// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/stage_plan.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::cli {

/// Whether a folder holds a model: it has a config.json.
[[nodiscard]] bool is_model_there(const std::string& folder);

/// Reads from models and documents what the coordinator must know of them. Window, rotary pairs and
/// theta are those of model.path; a stage's own model must agree, and may be missing.
/// @throws evaluator::EvaluatorError, coordinator::ConfigurationError
[[nodiscard]] coordinator::RunFacts read_facts(const coordinator::Configuration& configuration);

/// Refuses documents of another tokenizer for what is new. A run that began with them goes on,
/// since tokenizers that differ in bytes may give the same tokens: then it is said on stderr.
/// @throws evaluator::EvaluatorError
void settle_tokenizer(const coordinator::RunFacts& facts, bool began);

/// What a search can be planned with before there are weights: config.json is read, and the
/// documents file if it is there; without it, as many documents as the configuration names, each
/// long enough. Digests are empty.
/// @throws evaluator::EvaluatorError, coordinator::ConfigurationError
[[nodiscard]] coordinator::RunFacts planned_facts(const coordinator::Configuration& configuration);

/// L' of the longest target among the stages that share a stage's weights, finished ones included:
/// what their evaluators are opened for, and plan a GPU's memory with.
[[nodiscard]] std::uint64_t longest_positions(const coordinator::Configuration& configuration,
                                              const coordinator::StageSettings& stage);

/// What every rank evaluates with.
/// @param longest_positions  L' of the longest document that will be scored
/// @param stage_model        stage.model of the stage; empty: model.path
[[nodiscard]] protocol::Setup setup_of(const coordinator::Configuration& configuration,
                                       std::uint64_t longest_positions,
                                       const std::string& stage_model = {});

/// The same for each stage. Stages with the same weights have the same setup, whose evaluators live
/// on from one to the next.
[[nodiscard]] std::vector<protocol::Setup> setups_of(
    const coordinator::Configuration& configuration);

/// Of the model and the documents of a setup.
struct InputDigests {
    std::string model;
    std::string documents;
};

/// What the ranks that are given `setup_of` must find in their files, read here.
/// @throws evaluator::EvaluatorError
[[nodiscard]] InputDigests digests_of(const coordinator::Configuration& configuration,
                                      const std::string& stage_model);

}  // namespace longrope::cli
