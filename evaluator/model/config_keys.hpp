// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longrope::evaluator {

struct IntegerRange {
    std::uint32_t least;
    std::uint32_t most;
};

/// A JSON object of config.json whose values are checked as they are read. A null counts as absent.
/// Refers to the object, which must outlive it.
/// Every reader throws EvaluatorError naming the file, the key, what was found and what would be
/// accepted.
class ConfigKeys {
public:
    /// @param prefix  how messages name the object: "" or "rope_parameters."
    ConfigKeys(const boost::json::object& object, std::string file, std::string prefix);

    /// nullptr if the key is absent.
    [[nodiscard]] const boost::json::value* find(std::string_view key) const;
    [[noreturn]] void refuse(std::string_view key, const std::string& expected) const;

    [[nodiscard]] std::optional<std::uint32_t> integer(std::string_view key,
                                                       IntegerRange range) const;
    [[nodiscard]] std::uint32_t required(std::string_view key, IntegerRange range) const;
    /// @param expected  what `accept` takes, in words
    [[nodiscard]] std::optional<double> real(std::string_view key, const std::string& expected,
                                             const std::function<bool(double)>& accept) const;
    /// A number above 0, from 1e-9 to 1e9.
    [[nodiscard]] std::optional<double> positive(std::string_view key) const;
    [[nodiscard]] double required_positive(std::string_view key) const;
    /// A list of exactly `count` such numbers.
    [[nodiscard]] std::vector<double> required_positives(std::string_view key,
                                                         std::size_t count) const;
    [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;
    [[nodiscard]] std::optional<std::string> string(std::string_view key) const;
    /// An object inside this one; an empty one counts as absent.
    [[nodiscard]] std::optional<ConfigKeys> section(std::string_view key) const;

    [[nodiscard]] const boost::json::object& object() const noexcept { return object_; }
    [[nodiscard]] const std::string& file() const noexcept { return file_; }

private:
    const boost::json::object& object_;
    std::string file_;
    std::string prefix_;
};

/// The object with RoPE's parameters: rope_scaling, where transformers 4 keeps a scaling, or
/// rope_parameters of transformers 5; the first wins, as in transformers 5.
[[nodiscard]] std::optional<ConfigKeys> rope_section(const ConfigKeys& config);

}  // namespace longrope::evaluator
