// SPDX-License-Identifier: Apache-2.0
#include "evaluator/rotary_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <system_error>
#include <thread>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {
namespace {

struct CosineSine {
    float cosine;
    float sine;
};

void check(const RotarySettings& settings) {
    const auto positive = [](double value) { return std::isfinite(value) && value > 0.0; };
    if (settings.factors.size() * 2 != settings.rotary_dim) {
        throw EvaluatorError{fmt::format(
            "a factor vector of {} rescale factors was given, but the model has {} rotary pairs "
            "(rotary dimension {}): give one factor per pair",
            settings.factors.size(), settings.rotary_dim / 2, settings.rotary_dim)};
    }
    for (std::size_t i = 0; i < settings.factors.size(); ++i) {
        if (!positive(settings.factors[i])) {
            throw EvaluatorError{
                fmt::format("rescale factor {} is {}: factors are positive finite numbers", i,
                            settings.factors[i])};
        }
    }
    if (!positive(settings.theta)) {
        throw EvaluatorError{
            fmt::format("rope_theta is {}: use a positive finite number", settings.theta)};
    }
    if (!positive(settings.attention_scale)) {
        throw EvaluatorError{fmt::format("the attention scale is {}: use a positive finite number",
                                         settings.attention_scale)};
    }
}

/// Frequencies in double: θ^(-2i/d), divided by λ_i if `factors` are given.
std::vector<double> frequencies(const RotarySettings& settings, bool rescaled) {
    std::vector<double> result(settings.factors.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / settings.rotary_dim;
        result[i] = std::pow(settings.theta, exponent) / (rescaled ? settings.factors[i] : 1.0);
    }
    return result;
}

/// The same, every step rounded to float32 as in Hugging Face's `_compute_longrope_parameters`.
std::vector<float> float32_frequencies(const RotarySettings& settings, bool rescaled) {
    std::vector<float> result(settings.factors.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(settings.rotary_dim);
        const float period = std::pow(static_cast<float>(settings.theta), exponent);
        const float factor = rescaled ? static_cast<float>(settings.factors[i]) : 1.0F;
        result[i] = 1.0F / (factor * period);
    }
    return result;
}

constexpr std::int64_t parallel_from = std::int64_t{1} << 16;  // values

/// Calls work(first, last) for equal parts of [0, count), each on a thread of its own, or on this
/// one where the system gives no more threads.
template <class Work>
void in_parts(std::int64_t count, std::uint32_t parts, const Work& work) {
    const std::int64_t number = std::max<std::int64_t>(1, parts);
    const auto begin = [&](std::int64_t part) { return count * part / number; };
    std::vector<std::jthread> others;
    others.reserve(static_cast<std::size_t>(number));
    std::int64_t part = 1;
    try {
        for (; part < number; ++part) others.emplace_back(work, begin(part), begin(part + 1));
    } catch (const std::system_error&) {
        work(begin(part), count);
    }
    work(0, begin(1));
}

CosineSine from_double(std::int64_t position, double frequency, double scale) {
    constexpr double turn = 2.0 * std::numbers::pi;
    const double angle = static_cast<double>(position) * frequency;
    const double reduced = angle - turn * std::floor(angle / turn);
    return {static_cast<float>(scale * std::cos(reduced)),
            static_cast<float>(scale * std::sin(reduced))};
}

CosineSine from_float32(std::int64_t position, float frequency, double scale) {
    const float angle = static_cast<float>(position) * frequency;
    return {std::cos(angle) * static_cast<float>(scale),
            std::sin(angle) * static_cast<float>(scale)};
}

}  // namespace

AngleMode parse_angle_mode(const std::string& name) {
    if (name == "double") return AngleMode::double_precision;
    if (name == "float32") return AngleMode::float32;
    throw EvaluatorError{
        fmt::format("angles = \"{}\" is unknown: use \"double\" or \"float32\"", name)};
}

RotaryTable::RotaryTable(const RotarySettings& settings, std::int64_t positions,
                         std::uint32_t threads)
    : positions_{positions}, pairs_{settings.rotary_dim / 2} {
    check(settings);
    cosines_.resize(static_cast<std::size_t>(positions * pairs_));
    sines_.resize(cosines_.size());

    // A value takes some 50 ns: a long document's millions would keep a GPU waiting for seconds.
    const auto fill = [&](const auto& original, const auto& rescaled, auto rotation) {
        in_parts(positions, positions * pairs_ < parallel_from ? 1 : threads,
                 [&](std::int64_t first, std::int64_t last) {
                     auto at = static_cast<std::size_t>(first * pairs_);
                     for (std::int64_t position = first; position < last; ++position) {
                         const auto& row = position < settings.start_tokens ? original : rescaled;
                         for (const auto frequency : row) {
                             const CosineSine value =
                                 rotation(position, frequency, settings.attention_scale);
                             cosines_[at] = value.cosine;
                             sines_[at] = value.sine;
                             ++at;
                         }
                     }
                 });
    };
    if (settings.angles == AngleMode::float32) {
        fill(float32_frequencies(settings, false), float32_frequencies(settings, true),
             from_float32);
    } else {
        fill(frequencies(settings, false), frequencies(settings, true), from_double);
    }
}

}  // namespace longrope::evaluator
