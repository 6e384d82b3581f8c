// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "cli/evaluation_plan.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::cli;
using longrope::tests::TemporaryFolder;

TEST_CASE("factors are read one a line or between commas, comments and blank lines skipped") {
    const TemporaryFolder folder;
    const std::vector<double> expected{1.0, 1.5, 2.25, 8.0};
    for (const char* text :
         {"1\n1.5\n2.25\n8\n", "1,1.5,2.25,8", "# mine\n1, 1.5,\n\n2.25\n  # more\n 8",
          "1\r\n1.5\r\n\r\n2.25\r\n8\r\n", "1.0e0\n15e-1\n   \n\t2.25\n8.000"}) {
        INFO(text);
        CHECK(read_factors_file(folder.write("factors.txt", text)) == expected);
    }
}

TEST_CASE("a file that holds no factors is refused, naming file and line") {
    const TemporaryFolder folder;
    const std::string name = (folder.path() / "factors.txt").string();
    const std::vector<std::pair<std::string, std::string>> cases{
        {"1\nabc\n", ":2: found \"abc\", expected a number"},
        {"1\n\n# x\n1.5x\n", ":4: found \"1.5x\", expected a number"},
        {"1,,2\n", ":1: found \"\", expected a number"},
        {"1e999\n", ":1: found \"1e999\", expected a number"},
        {"1\n0\n", ":2: 0 is not a finite factor above 0"},
        {"-1\n", ":1: -1 is not a finite factor above 0"},
        {"nan\n", ":1: nan is not a finite factor above 0"},
        {"inf\n", ":1: inf is not a finite factor above 0"},
        {"", ": the file holds no factor"},
        {"# nothing\n \n", ": the file holds no factor"},
    };
    for (const auto& [text, message] : cases) {
        INFO(text);
        CHECK_THROWS_WITH_AS((void)read_factors_file(folder.write("factors.txt", text)),
                             ("--factors " + name + message).c_str(), UsageError);
    }
    CHECK_THROWS_WITH_AS((void)read_factors_file("/nowhere/f"),
                         "--factors /nowhere/f: the file cannot be read", UsageError);
    CHECK_THROWS_AS((void)read_factors_file(folder.path()), UsageError);
}
