// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/rope_scaling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/config_keys.hpp"
#include "evaluator/model/json_file.hpp"
#include "genome/attention_scale.hpp"

namespace longrope::evaluator {

namespace {

constexpr IntegerRange windows{2, (1U << 31U) - 1U};  // ln(window) divides
constexpr const char* accepted_types =
    "\"default\", \"linear\", \"dynamic\", \"yarn\", \"llama3\", \"longrope\" or \"su\"";

// --- Reading ------------------------------------------------------------------------------------

/// The window before scaling. transformers prefers the top level's, which a Phi-3 always has.
std::uint32_t original_window(const ConfigKeys& top, const ConfigKeys& section,
                              const ModelConfig& config) {
    constexpr const char* key = "original_max_position_embeddings";
    if (const auto window = top.integer(key, windows)) return *window;
    if (config.architecture == "Phi3ForCausalLM") return 4096;
    return section.integer(key, windows).value_or(config.max_position_embeddings);
}

/// How often the window was stretched: as the folder says, else by its two windows.
double stretch(const ConfigKeys& section, const ModelConfig& config, std::uint32_t original) {
    return section.positive("factor").value_or(static_cast<double>(config.max_position_embeddings) /
                                               static_cast<double>(original));
}

double attention_scale(const ConfigKeys& section, double inferred) {
    return section
        .real("attention_factor", "a number from 0.01 to 100", genome::AttentionScale::accepts)
        .value_or(inferred);
}

double yarn_attention_scale(const ConfigKeys& section, double factor) {
    const auto multiplier = [&](const char* key) {
        return section
            .real(key, "a number from 0 to 1e9",
                  [](double value) { return value >= 0.0 && value <= 1e9; })
            .value_or(0.0);
    };
    const auto scale = [factor](double per_log) {
        return factor <= 1.0 ? 1.0 : 0.1 * per_log * std::log(factor) + 1.0;
    };
    const double own = multiplier("mscale");
    const double all = multiplier("mscale_all_dim");
    const double inferred = own > 0.0 && all > 0.0 ? scale(own) / scale(all) : scale(1.0);
    if (!genome::AttentionScale::accepts(inferred)) {
        section.refuse("mscale_all_dim", "with mscale, an attention scale from 0.01 to 100");
    }
    return attention_scale(section, inferred);
}

YarnScaling read_yarn(const ConfigKeys& top, const ConfigKeys& section, const ModelConfig& config) {
    YarnScaling yarn;
    yarn.original_window = original_window(top, section, config);
    yarn.factor = stretch(section, config, yarn.original_window);
    yarn.beta_fast = section.positive("beta_fast").value_or(yarn.beta_fast);
    yarn.beta_slow = section.positive("beta_slow").value_or(yarn.beta_slow);
    if (yarn.beta_fast < yarn.beta_slow) {
        section.refuse("beta_fast", fmt::format("at least beta_slow = {}", yarn.beta_slow));
    }
    yarn.truncate = section.boolean("truncate").value_or(true);
    yarn.attention_scale = yarn_attention_scale(section, yarn.factor);
    return yarn;
}

Llama3Scaling read_llama3(const ConfigKeys& top, const ConfigKeys& section,
                          const ModelConfig& config) {
    Llama3Scaling llama3;
    llama3.original_window = original_window(top, section, config);
    llama3.factor = section.required_positive("factor");
    llama3.low_freq_factor = section.required_positive("low_freq_factor");
    llama3.high_freq_factor = section.required_positive("high_freq_factor");
    if (llama3.high_freq_factor <= llama3.low_freq_factor) {
        section.refuse("high_freq_factor",
                       fmt::format("a number above low_freq_factor = {}", llama3.low_freq_factor));
    }
    return llama3;
}

LongRopeScaling read_longrope(const ConfigKeys& top, const ConfigKeys& section,
                              const ModelConfig& config) {
    LongRopeScaling longrope;
    longrope.short_factors = section.required_positives("short_factor", config.rotary_pairs());
    longrope.long_factors = section.required_positives("long_factor", config.rotary_pairs());
    longrope.original_window = original_window(top, section, config);
    const double factor = stretch(section, config, longrope.original_window);
    const double inferred =
        factor <= 1.0
            ? 1.0
            : std::sqrt(1.0 +
                        std::log(factor) / std::log(static_cast<double>(longrope.original_window)));
    longrope.attention_scale = attention_scale(section, inferred);
    return longrope;
}

std::string type_of(const ConfigKeys& section) {
    for (const char* key : {"rope_type", "type"}) {
        if (auto type = section.string(key)) return *type;
    }
    // Without a type transformers would use no scaling; whoever gave numbers meant one.
    for (const char* key : {"factor", "short_factor", "long_factor"}) {
        if (section.find(key) != nullptr) section.refuse("rope_type", accepted_types);
    }
    return "default";
}

// --- Frequencies --------------------------------------------------------------------------------

/// A factor per rotary pair.
template <typename Factor>
std::vector<double> for_each_pair(const ModelConfig& config, Factor factor) {
    std::vector<double> factors;
    for (std::uint32_t i = 0; i < config.rotary_pairs(); ++i) factors.push_back(factor(i));
    return factors;
}

std::vector<double> dynamic_factors(const DynamicScaling& dynamic, const ModelConfig& config,
                                    std::uint64_t positions) {
    const double window = dynamic.window;
    const double length = std::max(static_cast<double>(positions), window);
    const double growth = dynamic.factor * length / window - (dynamic.factor - 1.0);
    const double last = config.rotary_pairs() - 1.0;
    return for_each_pair(config,
                         [&](double i) { return i == 0.0 ? 1.0 : std::pow(growth, i / last); });
}

std::vector<double> yarn_factors(const YarnScaling& yarn, const ModelConfig& config) {
    const double dimension = config.rotary_dim;
    const auto pair_with = [&](double turns) {
        return dimension * std::log(yarn.original_window / (2.0 * std::numbers::pi * turns)) /
               (2.0 * std::log(config.rope_theta));
    };
    double low = pair_with(yarn.beta_fast);
    double high = pair_with(yarn.beta_slow);
    if (yarn.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dimension - 1.0);  // the dimension, not the pairs: as transformers has it
    if (low == high) high += 0.001;
    return for_each_pair(config, [&](double i) {
        const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
        return 1.0 / ((1.0 - ramp) + ramp / yarn.factor);
    });
}

std::vector<double> llama3_factors(const Llama3Scaling& llama3, const ModelConfig& config) {
    return for_each_pair(config, [&](double i) {
        const double period =
            2.0 * std::numbers::pi * std::pow(config.rope_theta, 2.0 * i / config.rotary_dim);
        const double turns = llama3.original_window / period;
        const double kept = std::clamp(
            (turns - llama3.low_freq_factor) / (llama3.high_freq_factor - llama3.low_freq_factor),
            0.0, 1.0);
        return 1.0 / ((1.0 - kept) / llama3.factor + kept);
    });
}

struct RotationOf {
    const ModelConfig& config;
    std::uint64_t positions;

    ScaledRotation operator()(const NoScaling& /*none*/) const {
        return {for_each_pair(config, [](double) { return 1.0; })};
    }
    ScaledRotation operator()(const LinearScaling& linear) const {
        return {for_each_pair(config, [&](double) { return linear.factor; })};
    }
    ScaledRotation operator()(const DynamicScaling& dynamic) const {
        return {dynamic_factors(dynamic, config, positions)};
    }
    ScaledRotation operator()(const YarnScaling& yarn) const {
        return {yarn_factors(yarn, config), yarn.attention_scale};
    }
    ScaledRotation operator()(const Llama3Scaling& llama3) const {
        return {llama3_factors(llama3, config)};
    }
    ScaledRotation operator()(const LongRopeScaling& longrope) const {
        const bool is_long = positions > longrope.original_window;
        return {is_long ? longrope.long_factors : longrope.short_factors, longrope.attention_scale};
    }
};

}  // namespace

RopeScaling read_rope_scaling(const std::filesystem::path& model_folder,
                              const ModelConfig& config) {
    const std::filesystem::path file = model_folder / "config.json";
    const boost::json::object object =
        parse_json_object(read_config_text(model_folder), file.string());
    const ConfigKeys top{object, file.string(), ""};
    const auto section = rope_section(top);
    if (!section) return NoScaling{};
    const std::string type = type_of(*section);
    const bool phi3 = config.architecture == "Phi3ForCausalLM";
    if (type == "default") return NoScaling{};
    if (type == "longrope" || type == "su" || (type == "yarn" && phi3)) {
        return read_longrope(top, *section, config);
    }
    if (type == "linear") return LinearScaling{section->required_positive("factor")};
    if (type == "dynamic") {
        return DynamicScaling{section->required_positive("factor"), config.max_position_embeddings};
    }
    if (type == "yarn") return read_yarn(top, *section, config);
    if (type == "llama3") return read_llama3(top, *section, config);
    section->refuse(section->find("rope_type") == nullptr ? "type" : "rope_type", accepted_types);
}

ScaledRotation scaled_rotation(const RopeScaling& scaling, const ModelConfig& config,
                               std::uint64_t positions) {
    return std::visit(RotationOf{config, positions}, scaling);
}

}  // namespace longrope::evaluator
