// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/rope_export.hpp"
#include "evaluator/model/model_config.hpp"

namespace longrope::cli {

/// The content of config.json for transformers: `original` with the two lists in the keys of
/// versions 5 (rope_parameters) and 4 (rope_scaling), and with both windows. A Phi-3 has but three
/// keys in rope_scaling, since transformers 4 refuses more; where its attention scale is not the
/// one that engines assume, rope_scaling is left out. A sliding_window below L' is taken away,
/// since the lists were scored without one.
[[nodiscard]] boost::json::object hugging_face_config(const boost::json::object& original,
                                                      const evaluator::ModelConfig& config,
                                                      const RopeExport& rope);

/// What vLLM takes as --hf-overrides over the original config.json, with short_mscale and
/// long_mscale where the attention scale is not the one that vLLM assumes.
[[nodiscard]] boost::json::object vllm_overrides(const evaluator::ModelConfig& config,
                                                 const RopeExport& rope);

/// Our own format, docs/export.md; `read_factors_file` reads it.
[[nodiscard]] boost::json::object native_export(const RopeExport& rope);

/// The long list, a factor per line with the fewest digits that give it back exactly.
[[nodiscard]] std::string factors_csv(const RopeExport& rope);

/// The lists as an engine would find them in a file that was written.
struct ReloadedRope {
    std::vector<double> long_factors;
    std::vector<double> short_factors;  ///< empty: the format has none
    double long_attention_scale = 1.0;
    double short_attention_scale = 1.0;
    std::uint32_t start_tokens = 0;  ///< of the long list
};

/// Reads a model folder as transformers would.
/// @throws evaluator::EvaluatorError if it is no usable folder of type "longrope"
[[nodiscard]] ReloadedRope reload_hugging_face(const std::filesystem::path& folder);

/// Reads overrides as vLLM's rotary embedding would.
/// @throws evaluator::EvaluatorError
[[nodiscard]] ReloadedRope reload_vllm(const std::filesystem::path& file, std::size_t pairs);

}  // namespace longrope::cli
