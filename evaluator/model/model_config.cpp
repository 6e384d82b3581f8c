// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_config.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "evaluator/evaluator.hpp"
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
constexpr std::uint32_t largest_window = (1U << 31U) - 1U;

struct IntegerRange {
    std::uint32_t least;
    std::uint32_t most;
};

/// One JSON object of config.json and how messages name it: "" or "rope_parameters.".
class Keys {
public:
    Keys(const json::object& object, std::string file, std::string prefix)
        : object_{object}, file_{std::move(file)}, prefix_{std::move(prefix)} {}

    /// nullptr if the key is absent or null.
    [[nodiscard]] const json::value* find(std::string_view key) const {
        const json::value* value = object_.if_contains(key);
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    [[noreturn]] void refuse(std::string_view key, const std::string& expected) const {
        const json::value* value = object_.if_contains(key);
        throw EvaluatorError{fmt::format("{}: {}{} {}, expected {}", file_, prefix_, key,
                                         value == nullptr ? "is missing" : "= " + shown(*value),
                                         expected)};
    }

    [[nodiscard]] std::optional<std::uint32_t> integer(std::string_view key,
                                                       IntegerRange range) const {
        const json::value* value = find(key);
        if (value == nullptr) return std::nullopt;
        json::error_code error;
        const auto number = value->is_double() ? 0 : value->to_number<std::uint64_t>(error);
        if (value->is_double() || error || number < range.least || number > range.most) {
            refuse(key, fmt::format("an integer in [{}, {}]", range.least, range.most));
        }
        return static_cast<std::uint32_t>(number);
    }

    [[nodiscard]] std::uint32_t required(std::string_view key, IntegerRange range) const {
        const auto value = integer(key, range);
        if (!value) refuse(key, fmt::format("an integer in [{}, {}]", range.least, range.most));
        return *value;
    }

    template <typename Accept>
    [[nodiscard]] std::optional<double> real(std::string_view key, const std::string& expected,
                                             Accept accept) const {
        const json::value* value = find(key);
        if (value == nullptr) return std::nullopt;
        json::error_code error;
        const auto number = value->to_number<double>(error);
        if (error || !std::isfinite(number) || !accept(number)) refuse(key, expected);
        return number;
    }

    [[nodiscard]] bool boolean(std::string_view key) const {
        const json::value* value = find(key);
        if (value == nullptr) return false;
        if (!value->is_bool()) refuse(key, "true or false");
        return value->get_bool();
    }

    [[nodiscard]] std::optional<std::string> string(std::string_view key) const {
        const json::value* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_string()) refuse(key, "a string");
        return std::string{value->get_string()};
    }

    [[nodiscard]] std::optional<Keys> section(std::string_view key) const {
        const json::value* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (!value->is_object()) refuse(key, "a JSON object or null");
        return Keys{value->get_object(), file_, fmt::format("{}{}.", prefix_, key)};
    }

    [[nodiscard]] const std::string& file() const noexcept { return file_; }

private:
    const json::object& object_;
    std::string file_;
    std::string prefix_;
};

std::string read_architecture(const Keys& keys) {
    constexpr const char* accepted = "LlamaForCausalLM";
    const json::value* architectures = keys.find("architectures");
    const auto model_type = keys.string("model_type");
    if (architectures == nullptr && !model_type) {
        keys.refuse("architectures", fmt::format("[\"{}\"]", accepted));
    }
    if (architectures != nullptr) {
        const json::array* names = architectures->if_array();
        if (names == nullptr || names->size() != 1 || names->front() != accepted) {
            keys.refuse("architectures",
                        fmt::format("[\"{}\"], the architecture that is supported", accepted));
        }
    }
    if (model_type && *model_type != "llama") {
        keys.refuse("model_type", "\"llama\", the model type that is supported");
    }
    return accepted;
}

void refuse_unsupported_layers(const Keys& keys) {
    if (keys.string("hidden_act").value_or("silu") != "silu") {
        keys.refuse("hidden_act", "\"silu\", the activation that is supported");
    }
    for (const char* key : {"attention_bias", "mlp_bias"}) {
        if (keys.boolean(key)) keys.refuse(key, "false: biases are not supported");
    }
    if (keys.find("quantization_config") != nullptr) {
        keys.refuse("quantization_config", "none: quantised weights are not supported");
    }
}

void read_attention_shape(const Keys& keys, ModelConfig& config) {
    config.hidden_size = keys.required("hidden_size", {1, largest_width});
    config.heads = keys.required("num_attention_heads", {1, largest_heads});
    config.kv_heads =
        keys.integer("num_key_value_heads", {1, largest_heads}).value_or(config.heads);
    if (config.heads % config.kv_heads != 0) {
        keys.refuse("num_key_value_heads",
                    fmt::format("a divisor of num_attention_heads = {}", config.heads));
    }
    if (const auto head_dim = keys.integer("head_dim", {2, largest_head_dim})) {
        config.head_dim = *head_dim;
        return;
    }
    if (config.hidden_size % config.heads != 0) {
        keys.refuse("hidden_size",
                    fmt::format("a multiple of num_attention_heads = {}, or an explicit head_dim",
                                config.heads));
    }
    config.head_dim = config.hidden_size / config.heads;
    if (config.head_dim < 2 || config.head_dim > largest_head_dim) {
        keys.refuse("head_dim",
                    fmt::format("hidden_size / num_attention_heads = {} / {} in [2, {}]",
                                config.hidden_size, config.heads, largest_head_dim));
    }
}

std::optional<double> read_theta(const Keys& keys) {
    return keys.real("rope_theta", "a number above 1 and at most 1e15",
                     [](double theta) { return theta > 1.0 && theta <= 1e15; });
}

std::optional<double> read_rotary_share(const Keys& keys) {
    return keys.real("partial_rotary_factor", "a number in (0, 1]",
                     [](double share) { return share > 0.0 && share <= 1.0; });
}

/// transformers 4 keeps rope_theta beside an optional rope_scaling; 5 has both in rope_parameters.
void read_rotary(const Keys& keys, ModelConfig& config) {
    const auto parameters = keys.section("rope_parameters");
    const auto scaling = parameters ? parameters : keys.section("rope_scaling");
    const auto theta = read_theta(keys);
    const auto parameters_theta = parameters ? read_theta(*parameters) : std::nullopt;
    if (theta && parameters_theta && *theta != *parameters_theta) {
        keys.refuse("rope_theta",
                    fmt::format("the value of rope_parameters.rope_theta = {}", *parameters_theta));
    }
    config.rope_theta = parameters_theta.value_or(theta.value_or(config.rope_theta));

    auto share = read_rotary_share(keys);
    if (!share && parameters) share = read_rotary_share(*parameters);
    config.rotary_dim =
        static_cast<std::uint32_t>(static_cast<double>(config.head_dim) * share.value_or(1.0));
    if (config.rotary_dim < 2 || config.rotary_dim % 2 != 0) {
        throw EvaluatorError{fmt::format(
            "{}: the rotary dimension is {} (head dimension {} x partial_rotary_factor {}), "
            "expected an even number of at least 2",
            keys.file(), config.rotary_dim, config.head_dim, share.value_or(1.0))};
    }

    const IntegerRange windows{1, largest_window};
    config.original_max_position_embeddings =
        keys.integer("original_max_position_embeddings", windows).value_or(0);
    if (!scaling) return;
    if (config.original_max_position_embeddings == 0) {
        config.original_max_position_embeddings =
            scaling->integer("original_max_position_embeddings", windows).value_or(0);
    }
    auto type = scaling->string("rope_type");
    if (!type) type = scaling->string("type");  // the older spelling
    if (type && *type != "default") config.rope_scaling_type = *type;
}

}  // namespace

std::uint32_t ModelConfig::original_window() const noexcept {
    if (original_max_position_embeddings != 0) return original_max_position_embeddings;
    return sliding_window != 0 ? sliding_window : max_position_embeddings;
}

ModelConfig read_model_config(const std::filesystem::path& model_folder) {
    const std::filesystem::path file = model_folder / "config.json";
    const json::object object =
        parse_json_object(read_text_file(file, largest_config_bytes), file.string());
    const Keys keys{object, file.string(), ""};

    ModelConfig config;
    config.architecture = read_architecture(keys);
    refuse_unsupported_layers(keys);
    read_attention_shape(keys, config);
    config.layers = keys.required("num_hidden_layers", {1, largest_layers});
    config.intermediate_size = keys.required("intermediate_size", {1, largest_width});
    config.vocabulary = keys.required("vocab_size", {2, largest_vocabulary});
    config.max_position_embeddings = keys.required("max_position_embeddings", {1, largest_window});
    config.sliding_window = keys.integer("sliding_window", {1, largest_window}).value_or(0);
    config.tied_embeddings = keys.boolean("tie_word_embeddings");
    config.rms_norm_eps = keys.real("rms_norm_eps", "a number in (0, 1)",
                                    [](double epsilon) { return epsilon > 0.0 && epsilon < 1.0; })
                              .value_or(config.rms_norm_eps);
    read_rotary(keys, config);
    return config;
}

}  // namespace longrope::evaluator
