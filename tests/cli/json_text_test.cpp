// SPDX-License-Identifier: Apache-2.0
#include "cli/json_text.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

using longrope::cli::json_text;
namespace json = boost::json;

TEST_CASE("what is printed is read back as it was") {
    const json::value value = json::parse(
        R"({"a": [1, 2.5, -3e-7], "b": {"c": null, "d": true, "e": "x \"y\" ü"}, "f": [],
            "g": [{"h": 1}, "i", [0.1]], "j": {}, "k": 10000.0, "l": 18446744073709551615})");
    CHECK(json::parse(json_text(value)) == value);
}

TEST_CASE("reals stay reals, with the fewest digits that give them back") {
    CHECK(json_text(10000.0) == "10000.0\n");
    CHECK(json_text(1e-05) == "1e-05\n");
    CHECK(json_text(0.1) == "0.1\n");
    CHECK(json_text(std::int64_t{10000}) == "10000\n");
    for (const double value : {1.0 / 3.0, std::sqrt(2.0), 64.81, 1e300, 1e-300}) {
        CHECK(std::stod(json_text(value)) == value);
    }
    CHECK(json_text(std::nan("")) == "null\n");
}

TEST_CASE("long lists of numbers are broken into lines that fit a page") {
    json::object object;
    object["factors"] = json::value_from(std::vector<double>(64, 1.0 / 3.0));
    object["few"] = json::value_from(std::vector<double>{1.0, 2.0});
    const std::string text = json_text(object);
    CHECK(text.find("\"few\": [1.0, 2.0]") != std::string::npos);
    std::istringstream lines{text};
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) CHECK(line.size() <= 100);
    CHECK(count > 10);
    CHECK(count < 24);
}
