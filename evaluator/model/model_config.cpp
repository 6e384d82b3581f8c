// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <optional>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/architecture.hpp"
#include "evaluator/model/config_keys.hpp"
#include "evaluator/model/json_file.hpp"

namespace longrope::evaluator {

namespace {

namespace json = boost::json;

constexpr std::uintmax_t largest_config_bytes = 16U << 20U;

// Generous for every model known, and small enough that no product of two of them with an element
// size leaves 64 bits.
constexpr std::uint32_t largest_width = 1U << 20U;
constexpr std::uint32_t largest_layers = 1U << 12U;
constexpr std::uint32_t largest_heads = 1U << 14U;
constexpr std::uint32_t largest_head_dim = 1U << 12U;
constexpr std::uint32_t largest_vocabulary = 1U << 24U;
constexpr IntegerRange windows{2, (1U << 31U) - 1U};  // formulas divide by ln(window)

template <typename Name>
std::string joined(Name name) {
    std::vector<std::string> names;
    for (const Architecture& known : architectures()) names.emplace_back(name(known));
    return fmt::format("{}", fmt::join(names, ", "));
}

const Architecture& read_architecture(const ConfigKeys& keys) {
    const auto find = [](auto member, std::string_view name) {
        const auto found = std::ranges::find(architectures(), name, member);
        return found == architectures().end() ? nullptr : &*found;
    };
    const json::value* listed = keys.find("architectures");
    const auto model_type = keys.string("model_type");
    const Architecture* architecture = nullptr;
    if (listed != nullptr || !model_type) {
        const json::array* names = listed == nullptr ? nullptr : listed->if_array();
        if (names != nullptr && names->size() == 1 && names->front().is_string()) {
            architecture = find(&Architecture::name, names->front().get_string());
        }
        if (architecture == nullptr) {
            keys.refuse("architectures",
                        fmt::format("a list with one of {}", joined([](const Architecture& known) {
                                        return fmt::format("\"{}\"", known.name);
                                    })));
        }
        if (model_type && *model_type != architecture->model_type) {
            keys.refuse("model_type", fmt::format("\"{}\", which goes with {}",
                                                  architecture->model_type, architecture->name));
        }
        return *architecture;
    }
    architecture = find(&Architecture::model_type, *model_type);
    if (architecture == nullptr) {
        keys.refuse("model_type", fmt::format("one of {}", joined([](const Architecture& known) {
                                                  return fmt::format("\"{}\"", known.model_type);
                                              })));
    }
    return *architecture;
}

void read_biases(const ConfigKeys& keys, const Architecture& architecture, ModelConfig& config) {
    const bool asked = keys.boolean("attention_bias").value_or(false);
    if (asked && architecture.attention_bias == AttentionBias::none) {
        keys.refuse("attention_bias", fmt::format("false: {} has no biases", architecture.name));
    }
    const bool by_config = architecture.attention_bias == AttentionBias::by_config && asked;
    config.output_bias = by_config;
    config.query_key_value_bias =
        by_config || architecture.attention_bias == AttentionBias::query_key_value;
    if (keys.boolean("mlp_bias").value_or(false)) {
        keys.refuse("mlp_bias", "false: biases of the MLP are not supported");
    }
}

void refuse_unsupported_layers(const ConfigKeys& keys) {
    if (keys.string("hidden_act").value_or("silu") != "silu") {
        keys.refuse("hidden_act", "\"silu\", the activation that is supported");
    }
    if (keys.find("quantization_config") != nullptr) {
        keys.refuse("quantization_config", "none: quantised weights are not supported");
    }
}

/// An integer, or what an absent key means in the architecture's configuration class, or null.
/// @param by_class  0: as null
std::uint32_t integer_or_default(const ConfigKeys& keys, std::string_view key, IntegerRange range,
                                 std::uint32_t by_class, std::uint32_t null) {
    if (const auto given = keys.integer(key, range)) return *given;
    return by_class != 0 && !keys.object().contains(key) ? by_class : null;
}

void read_attention_shape(const ConfigKeys& keys, const Architecture& architecture,
                          ModelConfig& config) {
    config.hidden_size = keys.required("hidden_size", {1, largest_width});
    config.heads = keys.required("num_attention_heads", {1, largest_heads});
    config.kv_heads = integer_or_default(keys, "num_key_value_heads", {1, largest_heads},
                                         architecture.default_kv_heads, config.heads);
    if (config.heads % config.kv_heads != 0) {
        keys.refuse("num_key_value_heads",
                    fmt::format("a divisor of num_attention_heads = {}", config.heads));
    }
    if (const auto head_dim = keys.integer("head_dim", {2, largest_head_dim})) {
        if (*head_dim % 2 != 0) keys.refuse("head_dim", "an even number: components turn in pairs");
        config.head_dim = *head_dim;
        return;
    }
    if (architecture.default_head_dim != 0) {
        config.head_dim = architecture.default_head_dim;
        return;
    }
    if (config.hidden_size % config.heads != 0) {
        keys.refuse("hidden_size",
                    fmt::format("a multiple of num_attention_heads = {}, or an explicit head_dim",
                                config.heads));
    }
    config.head_dim = config.hidden_size / config.heads;
    if (config.head_dim < 2 || config.head_dim > largest_head_dim || config.head_dim % 2 != 0) {
        keys.refuse("head_dim",
                    fmt::format("hidden_size / num_attention_heads = {} / {} to be an even number "
                                "in [2, {}]",
                                config.hidden_size, config.heads, largest_head_dim));
    }
}

std::optional<double> read_theta(const ConfigKeys& keys) {
    return keys.real("rope_theta", "a number above 1 and at most 1e15",
                     [](double theta) { return theta > 1.0 && theta <= 1e15; });
}

std::optional<double> read_rotary_share(const ConfigKeys& keys) {
    return keys.real("partial_rotary_factor", "a number in (0, 1]",
                     [](double share) { return share > 0.0 && share <= 1.0; });
}

/// transformers 4 keeps rope_theta beside an optional rope_scaling; 5 has both in rope_parameters.
void read_rotary(const ConfigKeys& keys, const Architecture& architecture, ModelConfig& config) {
    const auto section = rope_section(keys);
    const auto theta = read_theta(keys);
    const auto section_theta = section ? read_theta(*section) : std::nullopt;
    if (theta && section_theta && *theta != *section_theta) {
        section->refuse("rope_theta", fmt::format("the top level's rope_theta = {}", *theta));
    }
    config.rope_theta = section_theta.value_or(theta.value_or(config.rope_theta));
    for (const char* name : {"rope_scaling", "rope_parameters"}) {
        const auto other = keys.section(name);
        const auto its = other ? read_theta(*other) : std::nullopt;
        if (its && *its != config.rope_theta) {
            other->refuse(
                "rope_theta",
                fmt::format("{} as in rope_scaling, which wins, or at the top level: give "
                            "all three the same, or one alone",
                            config.rope_theta));
        }
    }

    auto share = section ? read_rotary_share(*section) : std::nullopt;
    if (!share) share = read_rotary_share(keys);
    config.rotary_dim =
        static_cast<std::uint32_t>(static_cast<double>(config.head_dim) * share.value_or(1.0));
    if (config.rotary_dim < 2 || config.rotary_dim % 2 != 0) {
        throw EvaluatorError{fmt::format(
            "{}: the rotary dimension is {} (head dimension {} x partial_rotary_factor {}), "
            "expected an even number of at least 2",
            keys.file(), config.rotary_dim, config.head_dim, share.value_or(1.0))};
    }

    auto original = keys.integer("original_max_position_embeddings", windows);
    if (!original && architecture.default_original_window != 0) {
        original = std::min(architecture.default_original_window, config.max_position_embeddings);
    } else if (!original && section) {
        original = section->integer("original_max_position_embeddings", windows);
    }
    config.original_max_position_embeddings = original.value_or(0);
    if (!section) return;
    for (const auto& [key, value] : section->object()) {
        if (value.is_object()) {
            section->refuse(key, "a number, string or list: one RoPE for all layers is supported");
        }
    }
    auto type = section->string("rope_type");
    if (!type) type = section->string("type");  // the older spelling
    if (type && *type != "default") config.rope_scaling_type = *type;
}

}  // namespace

std::uint32_t ModelConfig::original_window() const noexcept {
    if (original_max_position_embeddings != 0) return original_max_position_embeddings;
    return sliding_window != 0 ? sliding_window : max_position_embeddings;
}

std::string read_config_text(const std::filesystem::path& model_folder) {
    return read_text_file(model_folder / "config.json", largest_config_bytes);
}

ModelConfig read_model_config(const std::filesystem::path& model_folder) {
    return parse_model_config(read_config_text(model_folder), model_folder);
}

ModelConfig parse_model_config(const std::string& text, const std::filesystem::path& model_folder) {
    const std::filesystem::path file = model_folder / "config.json";
    const json::object object = parse_json_object(text, file.string());
    const ConfigKeys keys{object, file.string(), ""};

    ModelConfig config;
    const Architecture& architecture = read_architecture(keys);
    config.architecture = architecture.name;
    config.head_norms = architecture.head_norms;
    config.fused_projections = architecture.fused_projections;
    refuse_unsupported_layers(keys);
    read_biases(keys, architecture, config);
    read_attention_shape(keys, architecture, config);
    config.layers = keys.required("num_hidden_layers", {1, largest_layers});
    config.intermediate_size = keys.required("intermediate_size", {1, largest_width});
    config.vocabulary = keys.required("vocab_size", {2, largest_vocabulary});
    config.max_position_embeddings = keys.required("max_position_embeddings", windows);
    if (!architecture.optional_sliding_window ||
        keys.boolean("use_sliding_window").value_or(false)) {
        config.sliding_window = integer_or_default(keys, "sliding_window", windows,
                                                   architecture.default_sliding_window, 0);
    }
    config.tied_embeddings = keys.boolean("tie_word_embeddings").value_or(false);
    config.rms_norm_eps = keys.real("rms_norm_eps", "a number in (0, 1)",
                                    [](double epsilon) { return epsilon > 0.0 && epsilon < 1.0; })
                              .value_or(architecture.default_rms_norm_eps);
    read_rotary(keys, architecture, config);
    return config;
}

}  // namespace longrope::evaluator
