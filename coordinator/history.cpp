// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <set>
#include <utility>

#include "coordinator/history_layout.hpp"

namespace longrope::coordinator {

namespace {

/// Where a part of the history lies; every refusal names it.
class Place {
public:
    Place(std::string file, std::string path) : file_{std::move(file)}, path_{std::move(path)} {}
    [[nodiscard]] Place in(const std::string& name) const { return {file_, path_ + "/" + name}; }

    void require_count(const std::string& name, std::size_t found, std::size_t expected) const {
        if (found != expected) {
            refuse(name, fmt::format("{} values", found), fmt::format("{}", expected));
        }
    }
    [[noreturn]] void refuse(const std::string& name, const std::string& found,
                             const std::string& expected) const {
        throw HistoryError{
            fmt::format("{}: {}/{}: found {}, expected {}", file_, path_, name, found, expected)};
    }

private:
    std::string file_;
    std::string path_;
};

template <typename Row>
void require_table(const ScoreTable<Row>& table, const Place& place) {
    const std::size_t rows = table.rows.size();
    const std::size_t columns = table.documents.size();
    place.require_count("factors", table.factors.size(), rows * table.dimensions);
    place.require_count("document_nll", table.document_nll.size(), rows * columns);
    place.require_count("document_status", table.document_status.size(), rows * columns);
    place.require_count("document_title", table.document_titles.size(), columns);
    place.require_count("document_tokens", table.document_tokens.size(), columns);
    place.require_count("document_weight", table.document_weights.size(), columns);
}

}  // namespace

void require_consistent(const RunHistory& history, const std::string& file) {
    const Place stages{file, "/stages"};
    std::set<std::string> names;
    for (const StageHistory& stage : history.stages) {
        const bool nameable = !stage.name.empty() && stage.name != "." && stage.name != ".." &&
                              stage.name.find('/') == std::string::npos;
        if (!nameable) stages.refuse(stage.name, "such a name", "a name without slashes");
        if (!names.insert(stage.name).second) stages.refuse(stage.name, "two such stages", "one");

        const Place place = stages.in(stage.name);
        require_table(stage.evaluations, place);
        for (const ScoreGroup& group : score_groups) {
            require_table(stage.*group.member, place.in(group.name));
        }
        for (std::size_t i = 0; i < stage.evaluations.rows.size(); ++i) {
            const std::uint32_t individual = stage.evaluations.rows[i].individual;
            if (individual != i) {
                place.refuse("evaluations", fmt::format("individual {} in row {}", individual, i),
                             "row i to be individual i");
            }
        }
    }
}

}  // namespace longrope::coordinator
