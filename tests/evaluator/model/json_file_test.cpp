// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/json_file.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <bit>
#include <boost/json/parse.hpp>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>

#include "evaluator/evaluator.hpp"

using namespace longrope::evaluator;

TEST_CASE("a double comes back from JSON to the last bit") {
    std::mt19937_64 random{1};
    for (int i = 0; i < 20'000; ++i) {
        const auto value = std::bit_cast<double>(random());
        if (!std::isfinite(value)) continue;
        const std::string text = fmt::format("[{:.17g}, {}]", value, 1.0 + 1e-3 * i);
        const boost::json::value read = parse_json(text, "text");
        INFO(text);
        REQUIRE(read.as_array()[0].to_number<double>() == value);
        REQUIRE(read.as_array()[1].to_number<double>() == 1.0 + 1e-3 * i);
    }
}

TEST_CASE("all else is what Boost.JSON makes of it") {
    for (const char* text :
         {"{}", "[]", "null", "true", "-5", "18446744073709551615", "1e400", "-1e-400",
          R"({"a": [1, -2, 3.5, "x\u00e9\n", {"b": {}, "c": [[]]}], "": false, "long key": null})",
          " [ 0.1 , 1E3 , \"\" ] \n"}) {
        INFO(text);
        CHECK(parse_json(text, "text") == boost::json::parse(text));
    }
    CHECK(parse_json("\xef\xbb\xbf[1]", "text") == boost::json::parse("[1]"));
}

TEST_CASE("a key that an object has twice is refused, wherever the object is") {
    CHECK_NOTHROW((void)parse_json(R"({"a": {"a": 1}, "b": {"a": 1}})", "f.json"));
    for (const char* text :
         {R"({"a": 1, "b": 2, "a": 1})", R"([0, {"b": {"a": 1, "\u0061": 2}}])"}) {
        INFO(text);
        CHECK_THROWS_WITH_AS(
            (void)parse_json(text, "f.json"),
            doctest::Contains("f.json: the key \"a\" is given twice in one object"),
            EvaluatorError);
    }
}

TEST_CASE("text that is no JSON is refused, with the place") {
    for (const char* text : {"", "{", "[1,]", "[1] 2", "{\"a\" 1}", "nul", "[1e]", "\"a"}) {
        INFO(text);
        CHECK_THROWS_WITH_AS((void)parse_json(text, "f.json"),
                             doctest::Contains("f.json: not valid JSON: "), EvaluatorError);
    }
}
