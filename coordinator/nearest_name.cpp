// SPDX-License-Identifier: Apache-2.0
#include "coordinator/nearest_name.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <utility>
#include <vector>

namespace longrope::coordinator {
namespace {

char lower(char character) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(character)));
}

/// Optimal string alignment distance; three rows of the table are kept.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> previous(b.size() + 1);
    std::vector<std::size_t> current(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) current[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::swap(before, previous);
        std::swap(previous, current);
        current[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            current[j] = std::min({previous[j] + 1, current[j - 1] + 1,
                                   previous[j - 1] + (same ? std::size_t{0} : std::size_t{1})});
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                current[j] = std::min(current[j], before[j - 2] + 1);
            }
        }
    }
    return current[b.size()];
}

}  // namespace

std::optional<std::string> nearest_name(std::string_view unknown,
                                        std::span<const std::string> known) {
    std::optional<std::string> nearest;
    std::size_t limit = std::max<std::size_t>(1, unknown.size() / 3);
    for (const std::string& name : known) {
        // The distance is no less: a name of a million characters is not compared.
        if (std::max(unknown.size(), name.size()) - std::min(unknown.size(), name.size()) > limit) {
            continue;
        }
        const std::size_t distance = edit_distance(unknown, name);
        if (distance < limit || (!nearest && distance == limit)) {
            nearest = name;
            limit = distance;
        }
    }
    return nearest;
}

}  // namespace longrope::coordinator
