// SPDX-License-Identifier: Apache-2.0
#include "evaluator/rotary_table.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {
namespace {

constexpr double theta = 10000.0;

TEST_CASE("the table holds scaled cosines and sines of position times frequency over factor") {
    const std::vector<double> factors{1.0, 1.5, 4.0};
    const RotaryTable table{
        {.theta = theta, .rotary_dim = 6, .factors = factors, .attention_scale = 1.2}, 1000};
    CHECK(table.positions() == 1000);
    CHECK(table.pairs() == 3);
    for (const std::size_t position : {0U, 1U, 17U, 999U}) {
        for (std::size_t i = 0; i < 3; ++i) {
            const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / 6.0);
            const double angle = static_cast<double>(position) * frequency / factors[i];
            CHECK(table.cosines()[position * 3 + i] ==
                  doctest::Approx(1.2 * std::cos(angle)).epsilon(1e-6));
            CHECK(table.sines()[position * 3 + i] ==
                  doctest::Approx(1.2 * std::sin(angle)).epsilon(1e-6));
        }
    }
}

TEST_CASE("start tokens keep the original angles up to the position before n-hat") {
    const std::vector<double> factors{2.0, 4.0};
    const std::vector<double> ones{1.0, 1.0};
    const RotaryTable table{
        {.theta = theta, .rotary_dim = 4, .factors = factors, .start_tokens = 3}, 6};
    const RotaryTable original{{.theta = theta, .rotary_dim = 4, .factors = ones}, 6};
    const RotaryTable rescaled{{.theta = theta, .rotary_dim = 4, .factors = factors}, 6};
    for (std::size_t at = 0; at < 12; ++at) {
        const RotaryTable& expected = at / 2 < 3 ? original : rescaled;
        CHECK(table.cosines()[at] == expected.cosines()[at]);
        CHECK(table.sines()[at] == expected.sines()[at]);
    }
}

TEST_CASE("scores depend on the distance of two positions alone, except across n-hat") {
    const std::vector<double> factors{1.0, 2.5};
    const double scale = 1.3;
    // What pair 1 of equal query and key contributes: m² cos(φ(a) - φ(b)).
    const auto product = [&](const RotaryTable& table, std::size_t a, std::size_t b) {
        const auto value = [](std::span<const float> part, std::size_t position) {
            return double{part[2 * position + 1]};
        };
        return value(table.cosines(), a) * value(table.cosines(), b) +
               value(table.sines(), a) * value(table.sines(), b);
    };
    RotarySettings settings{
        .theta = 100.0, .rotary_dim = 4, .factors = factors, .attention_scale = scale};
    const RotaryTable plain{settings, 200};
    settings.start_tokens = 16;
    const RotaryTable with_start{settings, 200};
    const double expected = scale * scale * std::cos(30.0 * 0.1 / 2.5);
    for (const std::size_t a : {0U, 10U, 16U, 100U}) {
        INFO("positions ", a, " and ", a + 30);
        CHECK(product(plain, a, a + 30) == doctest::Approx(expected).epsilon(1e-6));
        if (a >= 16) {
            CHECK(product(with_start, a, a + 30) == doctest::Approx(expected).epsilon(1e-6));
        }
    }
    CHECK(std::abs(product(with_start, 10, 40) - expected) > 0.1);
}

TEST_CASE("any number of threads fills the same table") {
    const std::vector<double> factors{1.0, 1.5, 2.25, 8.0};
    const RotarySettings settings{
        .theta = theta, .rotary_dim = 8, .factors = factors, .start_tokens = 7};
    for (const std::int64_t positions : {1, 5, 70'001}) {
        const RotaryTable one{settings, positions};
        for (const std::uint32_t threads : {2U, 3U, 64U}) {
            const RotaryTable table{settings, positions, threads};
            CHECK(std::ranges::equal(table.cosines(), one.cosines()));
            CHECK(std::ranges::equal(table.sines(), one.sines()));
        }
    }
}

TEST_CASE("angles stay exact to float32 rounding at two million positions") {
    const std::vector<double> factors{1.0, 1.0, 1.0, 1.0};
    const std::int64_t positions = 2'000'001;
    const RotaryTable table{{.theta = theta, .rotary_dim = 8, .factors = factors}, positions};
    const std::size_t last = static_cast<std::size_t>(positions - 1) * 4;
    for (std::size_t i = 0; i < 4; ++i) {
        const long double frequency = std::pow(10000.0L, -2.0L * static_cast<long double>(i) / 8);
        const long double angle = 2'000'000.0L * frequency;
        CHECK(std::abs(static_cast<long double>(table.cosines()[last + i]) - std::cos(angle)) <
              1e-7L);
    }
}

TEST_CASE("the float32 mode rounds frequency and angle as transformers does") {
    const std::vector<double> factors{1.0, 1.7};
    const RotaryTable table{{.theta = theta,
                             .rotary_dim = 4,
                             .factors = factors,
                             .attention_scale = 1.25,
                             .angles = AngleMode::float32},
                            70001};
    const float frequency = 1.0F / (1.7F * std::pow(10000.0F, 0.5F));
    const float angle = 70000.0F * frequency;
    constexpr std::size_t row = 140'000;  // of position 70,000: two pairs a row
    CHECK(table.cosines()[row + 1] == std::cos(angle) * 1.25F);
    CHECK(table.sines()[row + 1] == std::sin(angle) * 1.25F);
    CHECK(table.sines()[row] == std::sin(70000.0F) * 1.25F);
}

TEST_CASE("factors, theta and scale that mean no rotation are refused") {
    const std::vector<double> two{1.0, 2.0};
    const std::vector<double> zero{1.0, 0.0};
    const std::vector<double> not_a_number{NAN, 1.0};
    CHECK_THROWS_WITH_AS(RotaryTable({.rotary_dim = 6, .factors = two}, 4),
                         doctest::Contains("2 rescale factors"), EvaluatorError);
    CHECK_THROWS_WITH_AS(RotaryTable({.rotary_dim = 4, .factors = zero}, 4),
                         doctest::Contains("rescale factor 1 is 0"), EvaluatorError);
    CHECK_THROWS_WITH_AS(RotaryTable({.rotary_dim = 4, .factors = not_a_number}, 4),
                         doctest::Contains("rescale factor 0 is nan"), EvaluatorError);
    CHECK_THROWS_WITH_AS(RotaryTable({.theta = -1.0, .rotary_dim = 4, .factors = two}, 4),
                         doctest::Contains("rope_theta is -1"), EvaluatorError);
    CHECK_THROWS_WITH_AS(RotaryTable({.rotary_dim = 4, .factors = two, .attention_scale = 0.0}, 4),
                         doctest::Contains("attention scale is 0"), EvaluatorError);
    CHECK_THROWS_WITH_AS(static_cast<void>(parse_angle_mode("half")),
                         doctest::Contains("\"double\" or \"float32\""), EvaluatorError);
}

}  // namespace
}  // namespace longrope::evaluator
