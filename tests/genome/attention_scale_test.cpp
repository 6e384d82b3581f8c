// SPDX-License-Identifier: Apache-2.0
#include "genome/attention_scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <stdexcept>
#include <vector>

using longrope::genome::AttentionScale;

namespace {

AttentionScale parsed(const char* text) {
    return AttentionScale::parse(text).value();
}

}  // namespace

TEST_CASE("attention scales have the known values") {
    constexpr std::array<double, 7> extensions{2, 4, 8, 16, 32, 64, 512};
    struct Row {
        const char* rule;
        double window;
        std::array<double, 7> expected;
    };
    const std::vector<Row> rows{
        {"su", 4096, {1.0408, 1.0801, 1.1180, 1.1547, 1.1902, 1.2247, 1.3229}},
        {"su", 8192, {1.0377, 1.0742, 1.1094, 1.1435, 1.1767, 1.2089, 1.3009}},
        {"yarn", 4096, {1.0693, 1.1386, 1.2079, 1.2773, 1.3466, 1.4159, 1.6238}},
        {"none", 4096, {1, 1, 1, 1, 1, 1, 1}},
        {"1.07", 4096, {1.07, 1.07, 1.07, 1.07, 1.07, 1.07, 1.07}}};
    for (const Row& row : rows) {
        for (std::size_t i = 0; i < extensions.size(); ++i) {
            INFO(row.rule, ", window ", row.window, ", s = ", extensions.at(i));
            CHECK(std::abs(parsed(row.rule).value(row.window, extensions.at(i) * row.window) -
                           row.expected.at(i)) < 5.1e-5);
        }
    }
}

TEST_CASE("rules give 1 within the original window; a number holds everywhere") {
    for (const char* rule : {"su", "yarn", "none"}) {
        INFO(rule);
        CHECK(parsed(rule).value(4096, 4096) == 1.0);
        CHECK(parsed(rule).value(4096, 1024) == 1.0);
    }
    CHECK(parsed("1.2").value(4096, 1024) == 1.2);
}

TEST_CASE("attention scales survive the way through text") {
    for (const char* text : {"su", "yarn", "none", "1.1902380714238083", "2", "0.01", "100"}) {
        INFO(text);
        CHECK(parsed(text).text() == text);
        CHECK(AttentionScale::parse(parsed(text).text()) == parsed(text));
    }
}

TEST_CASE("other texts are no attention scale") {
    for (const char* text :
         {"", "Su", "0", "-1", "nan", "inf", "1.1x", " 1.1", "0.0099", "100.1", "1e300"}) {
        INFO("'", text, "'");
        CHECK_FALSE(AttentionScale::parse(text));
    }
}

TEST_CASE("windows without an attention scale are refused") {
    CHECK_THROWS_AS((void)parsed("su").value(1, 8), std::domain_error);
    CHECK_THROWS_AS((void)parsed("yarn").value(4096, 0), std::domain_error);
}
