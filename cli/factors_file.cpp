// SPDX-License-Identifier: Apache-2.0
#include "cli/factors_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>

#include "cli/arguments.hpp"
#include "cli/standard_error.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/model/json_file.hpp"
#include "genome/attention_scale.hpp"

namespace longrope::cli {
namespace {

namespace json = boost::json;

// A vector per layer of the largest models, or a log of the published code, is far below.
constexpr std::uintmax_t largest_file_bytes = 256U << 20U;

// Of UTF-8, as spreadsheets write it before the first number.
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// Searches have none below 1, published models hardly (MiniCPM4 begins with 0.9978). The upper end
// is that of config.json.
constexpr double least_factor = 0.5;
constexpr double most_factor = 1e9;
constexpr const char* accepted_factor = "a rescale factor of 0.5 to 1e9";

constexpr const char* blanks = " \t\r";

bool is_factor(double number) {
    return number >= least_factor && number <= most_factor;
}

double number_or_nan(const json::value& value) {
    return value.is_number() ? value.to_number<double>() : std::numeric_limits<double>::quiet_NaN();
}

/// Reads one file; `where_` begins every message.
class Reader {
public:
    Reader(std::string where, std::size_t pairs, double theta)
        : where_{std::move(where)}, pairs_{pairs}, theta_{theta} {}

    [[nodiscard]] FactorsFile text(const std::string& content) const {
        std::vector<std::pair<int, std::vector<double>>> rows;
        std::vector<double> all;
        std::istringstream lines{content};
        std::string line;
        for (int number = 1; std::getline(lines, line); ++number) {
            const std::size_t begin = line.find_first_not_of(blanks);
            if (begin == std::string::npos || line[begin] == '#') continue;
            line.erase(line.find_last_not_of(blanks) + 1);
            rows.emplace_back(number, cells(line, number));
            all.insert(all.end(), rows.back().second.begin(), rows.back().second.end());
        }
        if (all.empty()) refuse("the file holds no factor");
        const bool row_per_layer =
            rows.size() > 1 && std::ranges::all_of(rows, [this](const auto& row) {
                return row.second.size() == pairs_ && pairs_ > 1;
            });
        if (!row_per_layer) return vector(std::move(all));
        for (const auto& [number, row] : rows) {
            if (row == rows.front().second) continue;
            throw UsageError{fmt::format(
                "{}:{}: the row differs from the first; one vector serves all layers, so the rows "
                "of layers must be the same",
                where_, number)};
        }
        return vector(rows.front().second);
    }

    [[nodiscard]] FactorsFile parsed(const json::value& value) const {
        if (value.is_array()) return vector(list(value, "the list"));
        if (!value.is_object()) refuse("found no JSON list or object");
        const json::object& object = value.get_object();
        if (object.contains("lambda_long")) return native(object);
        if (const json::value* population = object.if_contains("population")) {
            return vector(best_of(*population));
        }
        for (const char* name : {"rope_parameters", "rope_scaling"}) {
            const json::value* section = object.if_contains(name);
            if (section != nullptr && section->is_object() &&
                section->get_object().contains("long_factor")) {
                return hugging_face(object, section->get_object());
            }
        }
        if (object.contains("long_factor")) return hugging_face(object, object);
        refuse(
            "found an object without lambda_long, long_factor or population: accepted are a list, "
            "what longrope export --format json writes, a config.json of type \"longrope\" and the "
            "log of the published code");
    }

private:
    [[noreturn]] void refuse(const std::string& what) const {
        throw UsageError{fmt::format("{}: {}", where_, what)};
    }

    [[nodiscard]] FactorsFile vector(std::vector<double> factors) const {
        if (factors.size() != pairs_) {
            refuse(
                fmt::format("{} factors; the model has {} rotary pairs", factors.size(), pairs_));
        }
        FactorsFile file;
        file.factors = std::move(factors);
        return file;
    }

    [[nodiscard]] std::vector<double> cells(const std::string& line, int number) const {
        std::vector<double> factors;
        std::istringstream parts{line};
        for (std::string part; std::getline(parts, part, ',');) {
            add_cells(part, number, factors);
        }
        return factors;
    }

    /// What stands between two commas: one factor, or several between blanks.
    void add_cells(const std::string& part, int number, std::vector<double>& factors) const {
        std::istringstream words{part};
        std::vector<std::string> found;
        for (std::string word; words >> word;) found.push_back(std::move(word));
        if (found.empty()) found.emplace_back();  // refused as no number
        for (const std::string& cell : found) {
            const auto factor = spelled_number<double>(cell);
            if (!factor) {
                throw UsageError{
                    fmt::format("{}:{}: found \"{}\", expected a number", where_, number, cell)};
            }
            if (!is_factor(*factor)) {
                throw UsageError{fmt::format("{}:{}: found {}, expected {}", where_, number, cell,
                                             accepted_factor)};
            }
            factors.push_back(*factor);
        }
    }

    [[nodiscard]] double number(const json::value& value, const std::string& what) const {
        const double found = number_or_nan(value);
        if (std::isfinite(found) && found > 0.0) return found;
        refuse(fmt::format("{} is {}, expected a finite number above 0", what,
                           evaluator::shown(value)));
    }

    [[nodiscard]] std::vector<double> list(const json::value& value,
                                           const std::string& what) const {
        if (!value.is_array()) refuse(fmt::format("{} is no list of factors", what));
        std::vector<double> factors;
        for (const json::value& factor : value.get_array()) {
            const double found = number_or_nan(factor);
            if (!is_factor(found)) {
                refuse(fmt::format("{}[{}] is {}, expected {}", what, factors.size(),
                                   evaluator::shown(factor), accepted_factor));
            }
            factors.push_back(found);
        }
        return factors;
    }

    [[nodiscard]] std::uint64_t tokens(const json::object& object, const char* key) const {
        const double found = number(object.at(key), key);
        constexpr double most = std::numeric_limits<std::int32_t>::max();
        if (found >= 2.0 && found <= most && found == std::floor(found)) {
            return static_cast<std::uint64_t>(found);
        }
        refuse(fmt::format("{} is {}, expected an integer of 2 to {}", key, found, most));
    }

    /// Refuses another value of a key that need not be there.
    template <typename Value>
    void require(const json::object& object, const char* key, const Value& accepted,
                 const std::string& meaning) const {
        const json::value* found = object.if_contains(key);
        if (found == nullptr || *found == json::value(accepted)) return;
        refuse(fmt::format("{} is {}, expected {}", key, evaluator::shown(*found), meaning));
    }

    void require_number(const json::object& object, const char* key, double accepted,
                        const char* meaning) const {
        const json::value* found = object.if_contains(key);
        if (found == nullptr || number_or_nan(*found) == accepted) return;
        refuse(fmt::format("{} is {}, expected {}, {}", key, evaluator::shown(*found), accepted,
                           meaning));
    }

    [[nodiscard]] double attention_scale(const json::value& value, const char* key) const {
        const double scale = number(value, key);
        if (genome::AttentionScale::accepts(scale)) return scale;
        refuse(fmt::format("{} is {}, expected a number of 0.01 to 100", key,
                           evaluator::shown(value)));
    }

    [[nodiscard]] FactorsFile native(const json::object& object) const {
        require(object, "format", "longrope-factors", "\"longrope-factors\"");
        require_number(object, "format_version", 1.0, "the version that this program reads");
        require_number(object, "theta", theta_, "the rope_theta of the model");
        require_number(object, "rotary_dim", 2.0 * static_cast<double>(pairs_),
                       "the rotary dimension of the model");
        require(object, "relative_to", nullptr,
                "null: factors relative to the untouched model, not multipliers of other factors");
        FactorsFile file = vector(list(object.at("lambda_long"), "lambda_long"));
        if (object.contains("lambda_short") && !object.at("lambda_short").is_null()) {
            file.short_factors = vector(list(object.at("lambda_short"), "lambda_short")).factors;
        }
        if (const json::value* start = object.if_contains("n_hat")) {
            if (!start->is_int64() || start->get_int64() < 0 ||
                start->get_int64() > std::numeric_limits<std::int32_t>::max()) {
                refuse(fmt::format("n_hat is {}, expected a number of tokens",
                                   evaluator::shown(*start)));
            }
            file.start_tokens = static_cast<std::uint32_t>(start->get_int64());
        }
        if (const json::value* scale = object.if_contains("attention_scale")) {
            file.attention_scale = attention_scale(*scale, "attention_scale");
        }
        if (object.contains("original_window")) {
            file.original_window = tokens(object, "original_window");
        }
        if (object.contains("target_tokens")) file.target_tokens = tokens(object, "target_tokens");
        if (const json::value* digest = object.if_contains("model_digest")) {
            if (!digest->is_string()) {
                refuse(
                    fmt::format("model_digest is {}, expected a text", evaluator::shown(*digest)));
            }
            file.model_digest = digest->get_string();
        }
        return file;
    }

    [[nodiscard]] FactorsFile hugging_face(const json::object& config,
                                           const json::object& section) const {
        require_number(section.contains("rope_theta") ? section : config, "rope_theta", theta_,
                       "that of the model");
        FactorsFile file = vector(list(section.at("long_factor"), "long_factor"));
        if (section.contains("short_factor")) {
            file.short_factors = vector(list(section.at("short_factor"), "short_factor")).factors;
        }
        if (const json::value* scale = section.if_contains("attention_factor")) {
            file.attention_scale = attention_scale(*scale, "attention_factor");
        }
        for (const json::object* object : {&section, &config}) {  // the top level's wins
            if (object->contains("original_max_position_embeddings")) {
                file.original_window = tokens(*object, "original_max_position_embeddings");
            }
        }
        if (config.contains("max_position_embeddings")) {
            file.target_tokens = tokens(config, "max_position_embeddings");
        }
        return file;
    }

    /// A population is a list of pairs: factors and perplexity.
    [[nodiscard]] std::vector<double> best_of(const json::value& population) const {
        if (!population.is_array() || population.get_array().empty()) {
            refuse("population is no list of factors and perplexities");
        }
        const json::value* best = nullptr;
        double lowest = std::numeric_limits<double>::infinity();
        for (const json::value& member : population.get_array()) {
            if (!member.is_array() || member.get_array().size() != 2) {
                refuse("a member of the population is not a pair of factors and perplexity");
            }
            const json::value& perplexity = member.get_array()[1];
            if (!perplexity.is_number() || !(perplexity.to_number<double>() < lowest)) continue;
            lowest = perplexity.to_number<double>();
            best = &member.get_array()[0];
        }
        if (best == nullptr) refuse("no member of the population has a perplexity");
        return list(*best, "the best of the population");
    }

    std::string where_;
    std::size_t pairs_;
    double theta_;
};

std::string content_of(const std::filesystem::path& file, const std::string& where) {
    try {
        return evaluator::read_text_file(file, largest_file_bytes);
    } catch (const evaluator::EvaluatorError&) {
        throw UsageError{fmt::format("{}: the file cannot be read", where)};
    }
}

}  // namespace

FactorsFile read_factors_file(const std::filesystem::path& file, const std::string& flag,
                              std::size_t pairs, double theta) {
    const std::string where = fmt::format("{} {}", flag, file.string());
    std::string content = content_of(file, where);
    if (content.starts_with(byte_order_mark)) content.erase(0, byte_order_mark.size());
    const Reader reader{where, pairs, theta};
    const std::size_t first = content.find_first_not_of(" \t\r\n");
    if (first == std::string::npos || (content[first] != '{' && content[first] != '[')) {
        return reader.text(content);
    }
    try {
        return reader.parsed(evaluator::parse_json(content, where));
    } catch (const evaluator::EvaluatorError& error) {
        throw UsageError{error.what()};
    }
}

std::string dips_of(std::span<const double> factors) {
    std::size_t first = 0;
    std::size_t dips = 0;
    for (std::size_t i = 1; i < factors.size(); ++i) {
        if (factors[i] >= factors[i - 1]) continue;
        if (dips++ == 0) first = i;
    }
    if (dips == 0) return "";
    return fmt::format(
        "{} of {} factors are below the one before, the first at index {}: {} after {}", dips,
        factors.size(), first, factors[first], factors[first - 1]);
}

std::vector<double> running_maximum(std::span<const double> factors) {
    std::vector<double> raised{factors.begin(), factors.end()};
    for (std::size_t i = 1; i < raised.size(); ++i) raised[i] = std::max(raised[i], raised[i - 1]);
    return raised;
}

void settle_dips(FactorsFile& file, const std::string& flag, bool repair) {
    for (auto* list : {&file.factors, &file.short_factors}) {
        const std::string dips = dips_of(*list);
        if (dips.empty()) continue;
        print_error("{}: {}; {}\n", flag, dips,
                    repair ? "each was raised to the largest before it"
                           : "they are taken as they are (--repair raises each to the largest "
                             "before it)");
        if (repair) *list = running_maximum(*list);
    }
}

}  // namespace longrope::cli
