// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "evaluator/model/model_config.hpp"

namespace longrope::evaluator {

// The scalings that transformers 5 knows for the architectures supported, each with the values of
// its formula; windows in tokens.

struct NoScaling {};

/// Every frequency divided by `factor`.
struct LinearScaling {
    double factor = 1.0;
};

/// NTK-aware scaling whose base grows with the length beyond `window`.
struct DynamicScaling {
    double factor = 1.0;
    std::uint32_t window = 0;  ///< max_position_embeddings
};

/// Source: YaRN (arXiv:2309.00071), section 3.2, as transformers rounds its bounds.
struct YarnScaling {
    double factor = 1.0;
    std::uint32_t original_window = 0;
    double beta_fast = 32.0;  ///< turns within the window above which a pair is left alone
    double beta_slow = 1.0;   ///< turns below which it is interpolated
    bool truncate = true;     ///< the ramp's bounds are whole pairs
    double attention_scale = 1.0;
};

/// The rule of Llama 3.1.
struct Llama3Scaling {
    double factor = 1.0;
    std::uint32_t original_window = 0;
    double low_freq_factor = 1.0;   ///< turns below which a pair is interpolated
    double high_freq_factor = 4.0;  ///< turns above which it is left alone; larger than the other
};

/// Two lists of searched factors: the long one serves lengths above the original window.
struct LongRopeScaling {
    std::vector<double> short_factors;  ///< shape [rotary pairs]
    std::vector<double> long_factors;   ///< shape [rotary pairs]
    std::uint32_t original_window = 0;
    double attention_scale = 1.0;  ///< of both
};

using RopeScaling = std::variant<NoScaling, LinearScaling, DynamicScaling, YarnScaling,
                                 Llama3Scaling, LongRopeScaling>;

/// Reads the scaling that config.json asks for, in the keys of transformers 4 (rope_scaling, type
/// or rope_type) or 5 (rope_parameters); "su" is an older name of "longrope", and so is "yarn" in a
/// Phi-3.
/// @param config  of the same folder
/// @throws EvaluatorError naming the file, the key, what was found and what would be accepted
[[nodiscard]] RopeScaling read_rope_scaling(const std::filesystem::path& model_folder,
                                            const ModelConfig& config);

/// What a scaling makes of the rotation at one length.
struct ScaledRotation {
    std::vector<double> factors;   ///< lambda, divides each frequency; shape [rotary pairs]
    double attention_scale = 1.0;  ///< multiplies cosine and sine
};

/// The rotation of a document of `positions` tokens: what transformers uses for it in one call.
[[nodiscard]] ScaledRotation scaled_rotation(const RopeScaling& scaling, const ModelConfig& config,
                                             std::uint64_t positions);

}  // namespace longrope::evaluator
