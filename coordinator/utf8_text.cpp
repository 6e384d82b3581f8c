// SPDX-License-Identifier: Apache-2.0
#include "coordinator/utf8_text.hpp"

#include <cstddef>
#include <cstdint>

namespace longrope::coordinator {

namespace {

/// Bytes of the well-formed character at the start of `text`, 0 if there is none: table 3-7 of the
/// Unicode standard, which excludes overlong forms and surrogates, and NUL besides.
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t first = byte(0);
    if (first == 0) return 0;
    if (first < 0x80) return 1;
    std::size_t length = 0;
    if (first >= 0xC2 && first <= 0xDF) length = 2;
    if (first >= 0xE0 && first <= 0xEF) length = 3;
    if (first >= 0xF0 && first <= 0xF4) length = 4;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return length;
}

}  // namespace

bool is_storable_text(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string storable_text(std::string_view text) {
    std::string stored;
    stored.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        if (length == 0) {
            stored += "\xEF\xBF\xBD";
            text.remove_prefix(1);
        } else {
            stored += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return stored;
}

}  // namespace longrope::coordinator
