// SPDX-License-Identifier: Apache-2.0
#include "coordinator/utf8_text.hpp"

#include <doctest/doctest.h>

#include <string>

using longrope::coordinator::is_storable_text;
using longrope::coordinator::storable_text;

TEST_CASE("well-formed text stays as it is") {
    for (const std::string text : {"", "plain", "größer", "漢字", "\xF0\x9F\x98\x80", "\x7F"}) {
        INFO(text);
        CHECK(is_storable_text(text));
        CHECK(storable_text(text) == text);
    }
}

TEST_CASE("each byte that is no text becomes U+FFFD") {
    const std::string mark = "\xEF\xBF\xBD";
    struct Case {
        std::string text;
        std::string stored;
    };
    const Case cases[] = {
        {std::string(1, '\0'), mark},                     // no NUL
        {"a\xFFz", "a" + mark + "z"},                     // never in UTF-8
        {"\xC3", mark},                                   // cut off
        {"\xE6\xBC", mark + mark},                        // cut off
        {"\xC0\x80", mark + mark},                        // overlong
        {"\xED\xA0\x80", mark + mark + mark},             // surrogate
        {"\xF4\x90\x80\x80", mark + mark + mark + mark},  // beyond U+10FFFF
        {"\x80g", mark + "g"},                            // continuation without start
    };
    for (const Case& example : cases) {
        INFO(example.stored);
        CHECK_FALSE(is_storable_text(example.text));
        CHECK(storable_text(example.text) == example.stored);
        CHECK(is_storable_text(example.stored));
    }
}
