// SPDX-License-Identifier: Apache-2.0
#include "cli/export_formats.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <string_view>
#include <variant>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/config_keys.hpp"
#include "evaluator/model/json_file.hpp"
#include "evaluator/model/rope_scaling.hpp"

namespace longrope::cli {
namespace {

namespace json = boost::json;

constexpr std::uintmax_t largest_file_bytes = 16U << 20U;
constexpr int native_version = 1;

double stretch(const RopeExport& rope) {
    return static_cast<double>(rope.target_tokens()) / static_cast<double>(rope.original_window);
}

/// The scales that vLLM reads; it knows neither factor nor attention_factor.
void add_mscales(json::object& section, const RopeExport& rope) {
    if (rope.has_assumed_attention_scale()) return;
    section["short_mscale"] = rope.attention_scale;
    section["long_mscale"] = rope.attention_scale;
}

void add_lists(json::object& section, const RopeExport& rope) {
    section["short_factor"] = json::value_from(rope.short_list.factors);
    section["long_factor"] = json::value_from(rope.long_list.factors);
}

/// What both generations of transformers, and vLLM, are told in the same words.
void add_scaling(json::object& section, const RopeExport& rope) {
    section["original_max_position_embeddings"] = rope.original_window;
    section["factor"] = stretch(rope);
    section["attention_factor"] = rope.attention_scale;
    add_mscales(section, rope);
    add_lists(section, rope);
}

/// transformers 5.
json::object rope_parameters(const evaluator::ModelConfig& config, const RopeExport& rope) {
    json::object section{{"rope_type", "longrope"}, {"rope_theta", rope.theta}};
    if (config.rotary_dim != config.head_dim) {
        section["partial_rotary_factor"] =
            static_cast<double>(config.rotary_dim) / static_cast<double>(config.head_dim);
    }
    add_scaling(section, rope);
    return section;
}

/// transformers 4; empty where it has no way to say it.
json::object rope_scaling(const evaluator::ModelConfig& config, const RopeExport& rope) {
    json::object section;
    if (config.architecture == "Phi3ForCausalLM") {
        if (!rope.has_assumed_attention_scale()) return section;
        section["type"] = "longrope";
        add_lists(section, rope);
        return section;
    }
    section["rope_type"] = "longrope";
    section["type"] = "longrope";
    add_scaling(section, rope);
    return section;
}

/// The keys that say how positions are encoded, the same in a config.json and over one.
void add_positions(json::object& object, const evaluator::ModelConfig& config,
                   const RopeExport& rope) {
    object["max_position_embeddings"] = rope.target_tokens();
    object["original_max_position_embeddings"] = rope.original_window;
    object["rope_theta"] = rope.theta;
    if (config.rotary_dim != config.head_dim) {
        object["partial_rotary_factor"] =
            static_cast<double>(config.rotary_dim) / static_cast<double>(config.head_dim);
    }
    if (config.sliding_window != 0 && config.sliding_window < rope.target_tokens()) {
        object["sliding_window"] = nullptr;
    }
    json::object scaling = rope_scaling(config, rope);
    if (!scaling.empty()) object["rope_scaling"] = std::move(scaling);
    object["rope_parameters"] = rope_parameters(config, rope);
}

}  // namespace

json::object hugging_face_config(const json::object& original, const evaluator::ModelConfig& config,
                                 const RopeExport& rope) {
    json::object written;
    for (const auto& [key, value] : original) {
        if (key != "rope_parameters" && key != "rope_scaling") written[key] = value;
    }
    add_positions(written, config, rope);
    return written;
}

json::object vllm_overrides(const evaluator::ModelConfig& config, const RopeExport& rope) {
    json::object overrides;
    add_positions(overrides, config, rope);
    return overrides;
}

json::object native_export(const RopeExport& rope) {
    json::object object{{"format", "longrope-factors"},
                        {"format_version", native_version},
                        {"model_digest", rope.model_digest},
                        {"documents_digest", rope.documents_digest},
                        {"run_uuid", rope.run_uuid},
                        {"stage", rope.stage},
                        {"seed", rope.seed},
                        {"objective", rope.objective},
                        {"theta", rope.theta},
                        {"rotary_dim", rope.rotary_dim},
                        {"original_window", rope.original_window},
                        {"target_tokens", rope.target_tokens()},
                        {"attention_rule", rope.attention_rule},
                        {"attention_scale", rope.attention_scale},
                        {"relative_to", nullptr},  // factors are absolute, whatever was searched
                        {"n_hat", rope.long_list.start_tokens},
                        {"long_origin", rope.long_list.origin},
                        {"short_origin", rope.short_list.origin},
                        {"lambda_long", json::value_from(rope.long_list.factors)},
                        {"lambda_short", json::value_from(rope.short_list.factors)}};
    if (rope.is_one_list()) object["lambda_short"] = nullptr;
    if (const auto& score = rope.long_list.score) {
        double sum = 0.0;
        std::uint64_t tokens = 0;
        for (std::size_t d = 0; d < score->nll.size(); ++d) {
            sum += score->nll[d];
            tokens += score->scored_tokens[d];
        }
        object["score"] = {{"split", score->documents_of},
                           {"documents", json::value_from(score->documents)},
                           {"scored_tokens", tokens},
                           {"sum_nll", sum},
                           {"perplexity", std::exp(sum / static_cast<double>(tokens))}};
    }
    return object;
}

std::string factors_csv(const RopeExport& rope) {
    std::string text;
    for (const double factor : rope.long_list.factors) text += fmt::format("{}\n", factor);
    return text;
}

ReloadedRope reload_hugging_face(const std::filesystem::path& folder) {
    const evaluator::ModelConfig config = evaluator::read_model_config(folder);
    const evaluator::RopeScaling scaling = evaluator::read_rope_scaling(folder, config);
    const auto* longrope = std::get_if<evaluator::LongRopeScaling>(&scaling);
    if (longrope == nullptr) {
        throw evaluator::EvaluatorError{fmt::format(
            "{}: config.json is read back without the type \"longrope\"", folder.string())};
    }
    return {longrope->long_factors, longrope->short_factors, longrope->attention_scale,
            longrope->attention_scale};
}

ReloadedRope reload_vllm(const std::filesystem::path& file, std::size_t pairs) {
    const json::object object = evaluator::parse_json_object(
        evaluator::read_text_file(file, largest_file_bytes), file.string());
    const evaluator::ConfigKeys top{object, file.string(), ""};
    const auto section = top.section("rope_parameters");
    if (!section) top.refuse("rope_parameters", "an object of type \"longrope\"");
    constexpr evaluator::IntegerRange windows{2, (1U << 31U) - 1U};
    const auto original = section->required("original_max_position_embeddings", windows);
    const auto most = top.required("max_position_embeddings", windows);
    RopeExport windows_only;
    windows_only.original_window = original;
    windows_only.long_list.tokens = most;
    const double assumed = windows_only.assumed_attention_scale();
    return {section->required_positives("long_factor", pairs),
            section->required_positives("short_factor", pairs),
            section->positive("long_mscale").value_or(assumed),
            section->positive("short_mscale").value_or(assumed)};
}

}  // namespace longrope::cli
