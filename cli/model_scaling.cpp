// SPDX-License-Identifier: Apache-2.0
#include "cli/model_scaling.hpp"

#include <fmt/format.h>

#include "evaluator/model/model_config.hpp"
#include "evaluator/model/rope_scaling.hpp"

namespace longrope::cli {

EvaluatedMethod model_method(const coordinator::Configuration& configuration,
                             std::uint64_t target_tokens) {
    if (configuration.evaluator.backend == "synthetic") {
        throw UsageError{"--methods model: the synthetic backend has no model folder"};
    }
    const std::filesystem::path folder = configuration.model.path;
    const evaluator::ModelConfig config = evaluator::read_model_config(folder);
    evaluator::ScaledRotation rotation = evaluator::scaled_rotation(
        evaluator::read_rope_scaling(folder, config), config, target_tokens);
    EvaluatedMethod method{"model", std::move(rotation.factors)};
    method.attention_scale = rotation.attention_scale;
    return method;
}

std::string replaced_scaling(const coordinator::Configuration& configuration) {
    if (configuration.evaluator.backend == "synthetic") return {};
    const std::string type =
        evaluator::read_model_config(configuration.model.path).rope_scaling_type;
    if (type.empty()) return {};
    return fmt::format(
        "{}: config.json asks for the RoPE scaling \"{}\", which is replaced by each factor vector "
        "(only the method \"model\" of longrope evaluate keeps it)",
        configuration.model.path, type);
}

}  // namespace longrope::cli
