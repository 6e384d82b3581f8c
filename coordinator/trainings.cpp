// SPDX-License-Identifier: Apache-2.0
#include "coordinator/trainings.hpp"

#include <algorithm>

namespace longrope::coordinator {
namespace {

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

}  // namespace

std::optional<std::vector<Training>> parse_trainings(std::string_view text) {
    std::vector<Training> trainings;
    if (trimmed(text).empty()) return trainings;
    if (text.find('=') == std::string_view::npos) {
        return std::vector{Training{"", std::string{trimmed(text)}}};
    }
    while (true) {
        const std::size_t comma = text.find(',');
        const std::string_view part = text.substr(0, comma);
        const std::size_t equals = part.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        const std::string_view stage = trimmed(part.substr(0, equals));
        const std::string_view settings = trimmed(part.substr(equals + 1));
        if (stage.empty() || settings.empty() ||
            std::ranges::find(trainings, stage, &Training::stage) != trainings.end()) {
            return std::nullopt;
        }
        trainings.push_back({std::string{stage}, std::string{settings}});
        if (comma == std::string_view::npos) return trainings;
        text.remove_prefix(comma + 1);
    }
}

std::string trainings_text(const std::vector<Training>& trainings) {
    if (trainings.size() == 1 && trainings.front().stage.empty()) return trainings.front().settings;
    std::string text;
    for (const Training& training : trainings) {
        text += text.empty() ? "" : ", ";
        text.append(training.stage).append(" = ").append(training.settings);
    }
    return text;
}

}  // namespace longrope::coordinator
