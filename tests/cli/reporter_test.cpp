// SPDX-License-Identifier: Apache-2.0
#include "cli/reporter.hpp"

#include <doctest/doctest.h>

#include "cli/arguments.hpp"

using namespace longrope::cli;

TEST_CASE("a duration is spelled in the two units that matter") {
    const std::vector<std::pair<double, std::string>> cases{
        {-1.0, "0 s"},          {0.4, "0 s"},           {59.4, "59 s"},
        {59.6, "1 min 00 s"},   {200.0, "3 min 20 s"},  {3599.4, "59 min 59 s"},
        {3599.6, "1 h 00 min"}, {3900.0, "1 h 05 min"}, {360000.0, "100 h 00 min"},
    };
    for (const auto& [seconds, text] : cases) CHECK(spell_duration(seconds) == text);
}

TEST_CASE("the style of progress is auto, bar or lines") {
    CHECK(progress_style("bar") == ProgressStyle::bar);
    CHECK(progress_style("lines") == ProgressStyle::lines);
    CHECK_NOTHROW((void)progress_style("auto"));
    CHECK_THROWS_WITH_AS((void)progress_style("dots"),
                         "--progress dots: expected auto, bar or lines", UsageError);
}
