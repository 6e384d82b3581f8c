// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/factors_file.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::cli;
using longrope::tests::TemporaryFolder;

TEST_CASE(
    "factors are read one a line or between commas or blanks, comments and blank lines skipped") {
    const TemporaryFolder folder;
    const std::vector<double> expected{1.0, 1.5, 2.25, 8.0};
    for (const char* text :
         {"1\n1.5\n2.25\n8\n", "1,1.5,2.25,8", "# mine\n1, 1.5,\n\n2.25\n  # more\n 8",
          "1\r\n1.5\r\n\r\n2.25\r\n8\r\n", "1 1.5\t2.25   8", "1, 1.5 ,  2.25 8, \n",
          "1.0e0\n15e-1\n   \n\t2.25\n8.000", "\xEF\xBB\xBF# mine\n1\n1.5\n2.25\n8\n",
          "\xEF\xBB\xBF[1, 1.5, 2.25, 8]"}) {
        INFO(text);
        CHECK(
            read_factors_file(folder.write("factors.txt", text), "--factors", 4, 10000.0).factors ==
            expected);
    }
}

TEST_CASE("a file that holds no factors is refused, naming file and line") {
    const TemporaryFolder folder;
    const std::string name = (folder.path() / "factors.txt").string();
    const std::vector<std::pair<std::string, std::string>> cases{
        {"1\nabc\n", ":2: found \"abc\", expected a number"},
        {"1\n\n# x\n1.5x\n", ":4: found \"1.5x\", expected a number"},
        {"0 1\n1 1.5\n", ":1: found 0, expected a rescale factor of 0.5 to 1e9"},
        {"1, ,2\n", ":1: found \"\", expected a number"},
        {"1,,2\n", ":1: found \"\", expected a number"},
        {"1e999\n", ":1: found \"1e999\", expected a number"},
        {"1\n0\n", ":2: found 0, expected a rescale factor of 0.5 to 1e9"},
        {"1\n1e308\n", ":2: found 1e308, expected a rescale factor of 0.5 to 1e9"},
        {"0.001\n", ":1: found 0.001, expected a rescale factor of 0.5 to 1e9"},
        {"-1\n", ":1: found -1, expected a rescale factor of 0.5 to 1e9"},
        {"nan\n", ":1: found nan, expected a rescale factor of 0.5 to 1e9"},
        {"inf\n", ":1: found inf, expected a rescale factor of 0.5 to 1e9"},
        {"", ": the file holds no factor"},
        {"# nothing\n \n", ": the file holds no factor"},
    };
    for (const auto& [text, message] : cases) {
        INFO(text);
        CHECK_THROWS_WITH_AS(
            (void)read_factors_file(folder.write("factors.txt", text), "--factors", 2, 10000.0),
            ("--factors " + name + message).c_str(), UsageError);
    }
    CHECK_THROWS_WITH_AS((void)read_factors_file("/nowhere/f", "--factors", 2, 10000.0),
                         "--factors /nowhere/f: the file cannot be read", UsageError);
    CHECK_THROWS_AS((void)read_factors_file(folder.path(), "--factors", 2, 10000.0), UsageError);
}

TEST_CASE("factors of a JSON file are read to the last bit") {
    const TemporaryFolder folder;
    const auto file =
        folder.write("f.json", "[1, 1.4929999999999999, 1.6440000000000001, 1.9100000000000001]");
    CHECK(read_factors_file(file, "--factors", 4, 10000.0).factors ==
          std::vector<double>{1.0, 1.4929999999999999, 1.6440000000000001, 1.9100000000000001});
}

TEST_CASE("a line per layer is one vector if the layers agree, and refused if they do not") {
    const TemporaryFolder folder;
    const auto read = [&](const char* text) {
        return read_factors_file(folder.write("layers.csv", text), "--factors", 3, 10000.0).factors;
    };
    CHECK(read("1,2,3\n1,2,3\n1,2,3\n") == std::vector<double>{1.0, 2.0, 3.0});
    CHECK(read("1,2,3\n") == std::vector<double>{1.0, 2.0, 3.0});
    CHECK_THROWS_WITH_AS((void)read("1,2,3\n# a comment\n1,2,3.5\n"),
                         doctest::Contains("layers.csv:3: the row differs from the first"),
                         UsageError);
    CHECK_THROWS_WITH_AS((void)read("1,2\n1,2\n"),
                         doctest::Contains("4 factors; the model has 3 rotary pairs"), UsageError);
}

TEST_CASE("JSON of every kind that is passed around is read") {
    const TemporaryFolder folder;
    const auto read = [&](const std::string& text) {
        return read_factors_file(folder.write("factors.json", text), "--factors", 2, 10000.0);
    };
    const std::vector<double> expected{1.0, 2.5};
    CHECK(read("[1, 2.5]").factors == expected);
    CHECK(read("\n [1.0,\n2.5e0]").factors == expected);

    const FactorsFile native = read(
        R"({"lambda_long": [1, 2.5], "lambda_short": [1, 1.5], "n_hat": 4,
            "attention_scale": 1.125, "original_window": 256, "target_tokens": 2048,
            "format": "longrope-factors", "format_version": 1, "theta": 10000, "rotary_dim": 4,
            "relative_to": null})");
    CHECK(native.factors == expected);
    CHECK(native.short_factors == std::vector<double>{1.0, 1.5});
    CHECK(native.start_tokens == 4U);
    CHECK(native.attention_scale == 1.125);
    CHECK(native.original_window == 256U);
    CHECK(native.target_tokens == 2048U);

    for (const char* section : {"rope_parameters", "rope_scaling"}) {
        const FactorsFile config =
            read(std::string{R"({"max_position_embeddings": 2048,
                "original_max_position_embeddings": 256, ")"} +
                 section +
                 R"(": {"long_factor": [1, 2.5], "short_factor": [1, 1], "attention_factor": 1.25,
                "original_max_position_embeddings": 4096}})");
        CHECK(config.factors == expected);
        CHECK(config.short_factors == std::vector<double>{1.0, 1.0});
        CHECK(config.attention_scale == 1.25);
        CHECK(config.original_window == 256U);  // of the top level
        CHECK(config.target_tokens == 2048U);
        CHECK_FALSE(config.start_tokens.has_value());
    }

    // The log of the published code: pairs of factors and perplexity, NaN written as it is not
    // JSON.
    CHECK(
        read(R"({"iteration": 3, "population": [[[1, 9], 7.5], [[1, 2.5], 6.5], [[1, 3], null]]})")
            .factors == expected);
}

TEST_CASE("JSON that holds no factors is refused, naming the key") {
    const TemporaryFolder folder;
    const std::vector<std::pair<std::string, std::string>> cases{
        {"[1, 2", "not valid JSON"},
        {"[1, 2, 3]", "3 factors; the model has 2 rotary pairs"},
        {"[1, \"2\"]", "the list[1] is \"2\", expected a rescale factor of 0.5 to 1e9"},
        {"[1, -2]", "the list[1] is -2"},
        {"{}", "found an object without lambda_long, long_factor or population"},
        {R"({"lambda_long": 3})", "lambda_long is no list of factors"},
        {R"({"lambda_long": [1, 2], "n_hat": -1})", "n_hat is -1, expected a number of tokens"},
        {R"({"lambda_long": [1, 2], "target_tokens": 0.5})", "target_tokens is"},
        {R"({"lambda_long": [1, 1e300]})", "lambda_long[1] is 1E300, expected a rescale factor"},
        {R"({"lambda_long": [1, 2], "attention_scale": 1e9})",
         "attention_scale is 1E9, expected a number of 0.01 to 100"},
        {R"({"lambda_long": [1, 2], "format": "foo"})",
         "format is \"foo\", expected \"longrope-factors\""},
        {R"({"lambda_long": [1, 2], "format_version": 99})",
         "format_version is 99, expected 1, the version that this program reads"},
        {R"({"lambda_long": [1, 2], "theta": 500000})",
         "theta is 500000, expected 10000, the rope_theta of the model"},
        {R"({"lambda_long": [1, 2], "theta": "10000"})", "theta is \"10000\", expected 10000"},
        {R"({"lambda_long": [1, 2], "rotary_dim": 64})",
         "rotary_dim is 64, expected 4, the rotary dimension of the model"},
        {R"({"lambda_long": [1, 2], "relative_to": "256k"})",
         "relative_to is \"256k\", expected null: factors relative to the untouched model"},
        {R"({"long_factor": [1, 2], "attention_factor": 0})", "attention_factor is 0"},
        {R"({"long_factor": [1, 2], "attention_factor": 1000})",
         "attention_factor is 1000, expected a number of 0.01 to 100"},
        {R"({"rope_theta": 500000, "rope_scaling": {"long_factor": [1, 2]}})",
         "rope_theta is 500000, expected 10000, that of the model"},
        {R"({"rope_parameters": {"long_factor": [1, 2], "rope_theta": 500000}})",
         "rope_theta is 500000, expected 10000, that of the model"},
        {R"({"population": []})", "population is no list"},
        {R"({"population": [[1, 2]]})", "the best of the population is no list of factors"},
        {R"({"population": [3]})", "is not a pair of factors and perplexity"},
    };
    for (const auto& [text, message] : cases) {
        INFO(text);
        CHECK_THROWS_WITH_AS(
            (void)read_factors_file(folder.write("factors.json", text), "--factors", 2, 10000.0),
            doctest::Contains(message.c_str()), UsageError);
    }
}

TEST_CASE("factors a little below 1, as published models have them, are read") {
    const TemporaryFolder folder;
    CHECK(read_factors_file(folder.write("factors.txt", "0.9977997200264581\n1.25\n"), "--factors",
                            2, 10000.0)
              .factors == std::vector<double>{0.9977997200264581, 1.25});
}

TEST_CASE("dips are told, and a running maximum takes them away") {
    CHECK(dips_of(std::vector<double>{1.0, 1.0, 2.0}).empty());
    CHECK(dips_of(std::vector<double>{1.0, 1.11, 1.1, 3.0, 2.0}) ==
          "2 of 5 factors are below the one before, the first at index 2: 1.1 after 1.11");
    CHECK(running_maximum(std::vector<double>{1.0, 1.11, 1.1, 3.0, 2.0}) ==
          std::vector<double>{1.0, 1.11, 1.11, 3.0, 3.0});
}
