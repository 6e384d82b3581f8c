// SPDX-License-Identifier: Apache-2.0
#include "genome/baseline_factors.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "genome/named_baselines.hpp"

using namespace longrope::genome;  // a test of all its scaling rules

namespace {

const RotaryFacts llama2{.rotary_pairs = 64, .theta = 1e4, .original_window = 4096};
const RotaryFacts llama3{.rotary_pairs = 64, .theta = 5e5, .original_window = 8192};
const RotaryFacts phi3{.rotary_pairs = 48, .theta = 1e4, .original_window = 2048};

}  // namespace

TEST_CASE("YaRN's ramp has the bounds of the published code") {
    struct Row {
        const char* model;
        RotaryFacts facts;
        YarnTurns turns;
        double low;
        double high;
    };
    const std::vector<Row> rows{{"Llama 2", llama2, {32, 1}, 20, 46},
                                {"Llama 3", llama3, {32, 1}, 18, 35},
                                {"Phi-3", phi3, {32, 1}, 12, 31},
                                {"Mistral, 4096 tokens", llama2, {128, 2}, 11, 41}};
    for (const Row& row : rows) {
        INFO(row.model);
        const YarnRamp ramp = yarn_ramp(row.facts, row.turns);
        CHECK(ramp.low == row.low);
        CHECK(ramp.high == row.high);
    }
}

TEST_CASE("YaRN's ramp is clamped to the dimension and never empty") {
    // A base so small that no pair turns slowly: both bounds leave the range of indices.
    const RotaryFacts fast{.rotary_pairs = 4, .theta = 1.5, .original_window = 4096};
    const YarnRamp ramp = yarn_ramp(fast, {32, 1});
    CHECK(ramp.low == 29);  // floor(8 ln(4096 / 64 pi) / (2 ln 1.5)), beyond the upper clamp
    CHECK(ramp.high == 7);
    const RotaryFacts few{.rotary_pairs = 4, .theta = 1e30, .original_window = 8};
    CHECK(yarn_ramp(few, {1.0001, 1}).low == 0);
    // Turns of less than a whole window: both bounds at 0, then set apart.
    CHECK(yarn_ramp(few, {3, 2}).low == 0);
    CHECK(yarn_ramp(few, {3, 2}).high == doctest::Approx(0.001));
}

TEST_CASE("YaRN mixes frequencies, not factors") {
    const std::vector<double> factors = yarn_factors(llama2, 32 * 4096);
    CHECK(factors[0] == 1.0);
    CHECK(factors[20] == 1.0);
    CHECK(factors[32] == doctest::Approx(1.809).epsilon(0.001));  // mixed factors would give 15.3
    CHECK(factors[46] == 32.0);
    CHECK(factors[63] == 32.0);
}

TEST_CASE("the published code's ramp mixes factors, and stretches the middle far more than YaRN") {
    const std::vector<double> factors = ramp_factors(llama2, 32 * 4096);
    CHECK(factors[0] == 1.0);
    CHECK(factors[20] == 1.0);
    CHECK(factors[21] == doctest::Approx(1.0 + 31.0 / 26.0).epsilon(1e-12));
    CHECK(factors[32] == doctest::Approx(15.3).epsilon(0.001));
    CHECK(factors[46] == 32.0);
    CHECK(factors[63] == 32.0);
    const std::vector<double> mistral = ramp_factors(llama2, 32 * 4096, {128, 2});
    CHECK(mistral[11] == 1.0);
    CHECK(mistral[41] == 32.0);
}

TEST_CASE("Llama 3.1's rule leaves pairs of four turns alone and stretches those below one") {
    // The values between come from the published formula, worked out apart from this code.
    const std::vector<double> factors = llama3_factors(llama3, 8 * 8192);
    CHECK(factors[28] == 1.0);
    CHECK(factors[29] == doctest::Approx(1.20748).epsilon(1e-5));
    CHECK(factors[32] == doctest::Approx(2.69453).epsilon(1e-5));
    CHECK(factors[34] == doctest::Approx(5.25733).epsilon(1e-5));
    CHECK(factors[35] == 8.0);
    CHECK(factors[63] == 8.0);
}

TEST_CASE("NTK scaling leaves the first pair alone and gives the last one the extension") {
    const std::vector<double> factors = ntk_factors(llama2, 32 * 4096);
    CHECK(factors.front() == 1.0);
    CHECK(factors.back() == doctest::Approx(32.0).epsilon(1e-12));
    CHECK(factors[32] == doctest::Approx(std::pow(32.0, 64.0 / 126.0)).epsilon(1e-12));
}

TEST_CASE("dynamic NTK scaling at the target length ends at s^2 - s + 1") {
    const std::vector<double> factors = dynamic_ntk_factors(llama2, 8 * 4096);
    CHECK(factors.front() == 1.0);
    CHECK(factors.back() == doctest::Approx(57.0).epsilon(1e-12));
}

TEST_CASE("NTK scaling by the critical dimension passes the extension at the critical pair") {
    const std::vector<double> long_phi3 = critical_dimension_ntk_factors(phi3, 64 * 2048);
    CHECK(long_phi3.front() == 1.0);
    CHECK(long_phi3[31] == doctest::Approx(71.9).epsilon(0.001));
    CHECK(long_phi3[47] == doctest::Approx(653).epsilon(0.001));
    const std::vector<double> long_llama3 = critical_dimension_ntk_factors(llama3, 131072);
    CHECK(long_llama3[35] == doctest::Approx(16.02).epsilon(0.001));
    CHECK(long_llama3[63] == doctest::Approx(147).epsilon(0.003));
}

TEST_CASE("every baseline is non-decreasing and at least 1, and 1 within the original window") {
    for (const RotaryFacts& facts : {llama2, llama3, phi3}) {
        for (const std::string_view name : baseline_names()) {
            for (const double extension : {0.5, 1.0, 1.1, 2.0, 8.0, 64.0, 512.0}) {
                INFO(name, ", D = ", facts.rotary_pairs, ", s = ", extension);
                const auto factors = named_baseline(name, facts, extension * facts.original_window);
                REQUIRE(factors);
                CHECK(factors->size() == facts.rotary_pairs);
                CHECK(std::ranges::is_sorted(*factors));
                CHECK(factors->front() >= 1.0);
                if (extension <= 1.0) CHECK(factors->back() == 1.0);
            }
        }
    }
}

TEST_CASE("facts and windows outside a rule's range are refused") {
    CHECK_THROWS_AS((void)ntk_factors({1, 1e4, 4096}, 8192), std::domain_error);
    CHECK_THROWS_AS((void)ntk_factors({64, 1.0, 4096}, 8192), std::domain_error);
    CHECK_THROWS_AS((void)critical_dimension_ntk_factors({64, 1e4, 6}, 8192), std::domain_error);
    CHECK_THROWS_AS((void)linear_factors(llama2, 0), std::domain_error);
    CHECK_THROWS_AS((void)linear_factors(llama2, std::nan("")), std::domain_error);
    CHECK_THROWS_AS((void)yarn_factors(llama2, 8192, {1, 32}), std::domain_error);
    CHECK_THROWS_AS((void)yarn_factors(llama2, 8192, {32, 0}), std::domain_error);
}

TEST_CASE("baselines are found by name") {
    CHECK(named_baseline("none", phi3, 8192) == std::vector<double>(48, 1.0));
    CHECK(named_baseline("pi", phi3, 8192) == std::vector<double>(48, 4.0));
    CHECK(named_baseline("yarn", phi3, 8192) == yarn_factors(phi3, 8192, {32, 1}));
    CHECK(named_baseline("ramp", phi3, 8192) == ramp_factors(phi3, 8192, {32, 1}));
    CHECK(named_baseline("llama3", phi3, 8192) == llama3_factors(phi3, 8192));
    CHECK(named_baseline("yarn-64-1", phi3, 8192) == yarn_factors(phi3, 8192, {64, 1}));
    CHECK(named_baseline("yarn-64-0.5", phi3, 8192) == yarn_factors(phi3, 8192, {64, 0.5}));
    for (const char* name : {"", "yarN", "yarn-", "yarn-64", "yarn-64-", "yarn-64-1x", "linear"}) {
        INFO(name);
        CHECK_FALSE(named_baseline(name, phi3, 8192));
    }
    CHECK(accepted_baselines() ==
          "none, pi, ntk, dynamic-ntk, ntk-critical, llama3, ramp, yarn, yarn-FAST-SLOW");
}

TEST_CASE("a search starts from seven baselines, the paper's three first") {
    const auto seeds = seed_baselines(llama2, 131072);
    REQUIRE(seeds.size() == 7);
    CHECK(seeds[0].name == "pi");
    CHECK(seeds[1].name == "ntk");
    CHECK(seeds[2].name == "yarn");
    for (const auto& seed : seeds) {
        INFO(seed.name);
        CHECK(named_baseline(seed.name, llama2, 131072) == seed.factors);
    }
}

TEST_CASE("factors rescaled to another length keep their shape, and 1 leaves nothing of them") {
    const std::vector<double> factors{1.0, 2.0, 8.0};
    CHECK(length_rescaled(factors, 8.0, 8.0) == factors);
    CHECK(length_rescaled(factors, 8.0, 1.0) == std::vector<double>{1.0, 1.0, 1.0});
    // The published code at scale 8 to 4.5: 1 + (lambda - 1) * 3.5 / 7.
    CHECK(length_rescaled(factors, 8.0, 4.5) == std::vector<double>{1.0, 1.5, 4.5});
    CHECK_THROWS_AS((void)length_rescaled(factors, 1.0, 4.0), std::domain_error);
    CHECK_THROWS_AS((void)length_rescaled(factors, 8.0, 0.5), std::domain_error);
}
