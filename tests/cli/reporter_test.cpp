// SPDX-License-Identifier: Apache-2.0
#include "cli/reporter.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::cli;
using longrope::tests::TemporaryFolder;

namespace {

/// Lines of a file without their time stamps.
std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::ifstream stream{file};
    std::vector<std::string> lines;
    const std::regex stamp{R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  )"};
    for (std::string line; std::getline(stream, line);) {
        std::smatch found;
        CHECK(std::regex_search(line, found, stamp));
        lines.push_back(found.suffix());
    }
    return lines;
}

}  // namespace

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

TEST_CASE("the log tells what was printed, and how many scores are stored when there are more") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "log.txt";
    {
        Reporter reporter{ProgressStyle::lines, file, std::chrono::seconds{0}};
        reporter.log("starting");
        for (const std::uint64_t scores : {0U, 3U, 3U, 5U}) reporter.stored(scores);
        CHECK(reporter.stored_scores() == 5);
        reporter.conclude("the end");
        CHECK(lines_of(file).size() == 4);
    }
    {
        Reporter reporter{ProgressStyle::lines, file, std::chrono::hours{1}};
        reporter.log("continuing");
        for (const std::uint64_t scores : {6U, 7U, 8U}) reporter.stored(scores);
        CHECK(reporter.stored_scores() == 8);
    }
    CHECK(lines_of(file) == std::vector<std::string>{"starting", "stored 3 document scores",
                                                     "stored 5 document scores", "the end",
                                                     "continuing", "stored 6 document scores"});
}

TEST_CASE("the last line of a log that cannot be written is an error") {
    const TemporaryFolder folder;
    std::filesystem::create_symlink("/dev/full", folder.path() / "log.txt");
    Reporter reporter{ProgressStyle::lines, folder.path() / "log.txt", std::chrono::hours{1}};
    CHECK_THROWS_WITH_AS(reporter.conclude("the search is complete"),
                         doctest::Contains("log.txt: No space left on device (errno 28)"),
                         LogError);
}
