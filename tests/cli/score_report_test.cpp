// SPDX-License-Identifier: Apache-2.0
#include "cli/score_report.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

using namespace longrope::cli;  // the test is about this namespace alone

namespace {

const std::vector<std::size_t> both{0, 1};

std::vector<std::string> lines_of(const std::string& text) {
    std::istringstream stream{text};
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

/// Columns of a terminal: characters, not bytes.
std::size_t width_of(const std::string& line) {
    return static_cast<std::size_t>(
        std::ranges::count_if(line, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

}  // namespace

TEST_CASE("perplexity weights documents by their tokens") {
    const std::vector<std::uint64_t> tokens{100, 300};
    const MethodScores method{"a", {200.0, 900.0}};  // 2 and 3 nats per token
    CHECK(perplexity(method, tokens, both) == doctest::Approx{std::exp(1100.0 / 400.0)});
    const std::vector<std::size_t> second{1};
    CHECK(perplexity(method, tokens, second) == doctest::Approx{std::exp(3.0)});
}

TEST_CASE("a perplexity's standard error is that of the documents' means, weighted by tokens") {
    // By hand: means 2, 2.1, 2.3 of equal documents; mean 2.1333, deviation 0.152753 / sqrt 3.
    const std::vector<std::uint64_t> equal{100, 100, 100};
    const MethodScores method{"a", {200.0, 210.0, 230.0}};
    const std::vector<std::size_t> all{0, 1, 2};
    CHECK(perplexity_error(method, equal, all) ==
          doctest::Approx{std::exp(2.1333333333) * 0.1527525232 / std::sqrt(3.0)});
    // Two documents of 100 and 300 tokens, 2 and 3 nats per token: r = -75 and 75 nats.
    const std::vector<std::uint64_t> unequal{100, 300};
    const MethodScores other{"b", {200.0, 900.0}};
    CHECK(perplexity_error(other, unequal, both) ==
          doctest::Approx{std::exp(2.75) * std::sqrt(2.0 * 2.0 * 75.0 * 75.0) / 400.0});
    const std::vector<std::size_t> one{0};
    CHECK(std::isnan(perplexity_error(method, equal, one)));
}

TEST_CASE("the paired difference is the mean over documents, its error theirs") {
    // By hand: differences of mean NLL 0.02, 0.04, 0.06; mean 0.04, standard deviation 0.02.
    const std::vector<std::uint64_t> tokens{100, 50, 200};
    const MethodScores reference{"yarn", {300.0, 150.0, 600.0}};
    const MethodScores method{"pi", {302.0, 152.0, 612.0}};
    const std::vector<std::size_t> all{0, 1, 2};
    const PairedDifference worse = paired_difference(method, reference, tokens, all);
    CHECK(worse.percent == doctest::Approx{4.0810774});         // 100 (e^0.04 - 1)
    CHECK(worse.standard_error == doctest::Approx{1.1547005});  // 100 * 0.02 / sqrt 3
    const PairedDifference better = paired_difference(reference, method, tokens, all);
    CHECK(better.percent == doctest::Approx{-3.9210561});
    CHECK(better.standard_error == doctest::Approx{1.1547005});
    const std::vector<std::size_t> one{0};
    CHECK(paired_difference(method, reference, tokens, one).percent == doctest::Approx{2.0201340});
    CHECK(std::isnan(paired_difference(method, reference, tokens, one).standard_error));
}

TEST_CASE("methods are compared with yarn, without it with the first, and one alone with none") {
    const MethodScores none{"none", {200.0}};
    const MethodScores pi{"pi", {210.0}};
    const MethodScores yarn{"yarn", {190.0}};
    using Methods = std::vector<MethodScores>;
    CHECK(reference_of(Methods{none, pi, yarn}) == "yarn");
    CHECK(reference_of(Methods{pi, none}) == "pi");
    CHECK(reference_of(Methods{yarn}).empty());
    CHECK(reference_of(Methods{}).empty());
}

TEST_CASE("documents whose titles agree but for a number of the whole are one source") {
    const std::vector<std::string> titles{
        "Emma 1/2", "Persuasion 1/1", "Emma 2/2",   "Untitled", "On TCP/IP", "On TCP/IP 1/3",
        "a/b",      "Emma 1/x",       "Emma 12/30", "1/2"};
    const auto groups = group_by_source(titles);
    std::vector<std::string> names;
    for (const DocumentGroup& group : groups) names.push_back(group.name);
    CHECK(names == std::vector<std::string>{"Emma", "Persuasion", "Untitled", "On TCP/IP", "a/b",
                                            "Emma 1/x", "1/2"});
    CHECK(groups[0].documents == std::vector<std::size_t>{0, 2, 8});
    CHECK(groups[3].documents == std::vector<std::size_t>{4, 5});
}

TEST_CASE("a table has a row for each method, its columns under their headings") {
    const std::vector<std::uint64_t> tokens{100, 100, 100};
    const std::vector<MethodScores> methods{
        {"none", {1500.0, 1400.0, 1300.0}},
        {"yarn", {300.0, 310.0, 305.0}},
        {"ntk", {600.0, 620.0, 640.0}},
        {"a long name of a method", {299.0, 308.0, 304.0}},
        {"failed", {std::numeric_limits<double>::infinity(), 300.0, 300.0}}};
    for (const std::string source :
         {"Emma", "Die Verwandlung – größer", "A title that is wider than its column is"}) {
        for (const std::string reference : {"yarn", "nobody"}) {
            INFO(source, " vs ", reference);
            const std::vector<std::string> titles{source + " 1/2", source + " 2/2", "Other 1/1"};
            const auto lines = lines_of(score_table_text(methods, titles, tokens, reference));
            REQUIRE(lines.size() == 7);
            for (const std::string& line : lines) CHECK(width_of(line) == width_of(lines[0]));
            CHECK(lines[0].ends_with("all (3)"));
            CHECK(lines[0].find(source + " (2)") != std::string::npos);
            CHECK(lines[1].starts_with("method"));
            CHECK(lines[2].find("e+") != std::string::npos);  // e^14 does not fit in full
            CHECK(lines[3].find("20.086") == std::string::npos);
            CHECK(lines[3].find("21.115") != std::string::npos);  // e^3.05
            CHECK((lines[1].find("vs yarn") != std::string::npos) == (reference == "yarn"));
            CHECK((lines[5].find(" ± ") != std::string::npos) == (reference == "yarn"));
        }
    }
}

TEST_CASE("one source needs no column over all") {
    const std::vector<MethodScores> methods{{"none", {300.0}}};
    const std::vector<std::string> titles{"Emma"};
    const std::vector<std::uint64_t> tokens{100};
    CHECK(score_table_text(methods, titles, tokens, "yarn") ==
          "           Emma (1)\n"
          "method          ppl\n"
          "none         20.086\n");
}

TEST_CASE("a method that could not be scored says so, and no difference to it is told") {
    const std::vector<std::string> titles{"a 1/1", "b 1/1"};
    const std::vector<std::uint64_t> tokens{100, 100};
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    const std::vector<MethodScores> methods{{"pi", {300.0, 300.0}},
                                            {"yarn", {200.0, none}, {false, true}}};
    const auto lines = lines_of(score_table_text(methods, titles, tokens, "yarn"));
    REQUIRE(lines.size() == 4);
    CHECK(lines[3].find("7.389") != std::string::npos);  // of the document that was scored
    CHECK(lines[3].find("failed") != std::string::npos);
    CHECK(lines[2].find(" %") == lines[2].rfind(" %"));
    for (const std::string& line : lines) {
        CHECK(line.find("nan") == std::string::npos);
        CHECK(width_of(line) == width_of(lines[1]));
    }
}
