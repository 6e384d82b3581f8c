// SPDX-License-Identifier: Apache-2.0
#include "coordinator/verification.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "coordinator/configuration.hpp"
#include "coordinator/history_layout.hpp"
#include "coordinator/score_table.hpp"
#include "coordinator/stage_run.hpp"

namespace longrope::coordinator {
namespace {

template <typename Value>
std::string spelled(const Value& value) {
    if constexpr (std::is_enum_v<Value>) {
        const auto number = static_cast<std::size_t>(value);
        return number < legend<Value>.size() ? legend<Value>[number] : std::to_string(number);
    } else {
        return fmt::format("{}", value);
    }
}

/// The same value. Perplexities may differ in their last bits, since exp does between machines.
template <typename Value>
bool agree(std::string_view field, const Value& stored, const Value& found) {
    if constexpr (std::is_floating_point_v<Value>) {
        if (std::bit_cast<std::uint64_t>(stored) == std::bit_cast<std::uint64_t>(found)) {
            return true;
        }
        if (std::isnan(stored) && std::isnan(found)) return true;
        constexpr double tolerance = 1e-13;
        return field.ends_with("perplexity") &&
               std::abs(stored - found) <= tolerance * std::abs(found);
    } else {
        return stored == found;
    }
}

/// "mean_nll = 3.5, not 3.25": the first field in which a stored record departs from what follows.
template <typename Record>
std::optional<std::string> departure(const Record& stored, const Record& follows) {
    std::optional<std::string> text;
    for_each_field<Record>([&](const auto& field) {
        const auto& found = stored.*field.member;
        const auto& expected = follows.*field.member;
        if (text || agree(field.name, found, expected)) return;
        text = fmt::format("has {} = {}, but {} follows", field.name, spelled(found),
                           spelled(expected));
    });
    return text;
}

/// The row as its document scores alone make it. A row that faults ended keeps that end.
template <typename Row>
Row rescored(const ScoreTable<Row>& table, std::size_t row) {
    ScoreTable<Row> alone;
    alone.documents = table.documents;
    alone.document_tokens = table.document_tokens;
    alone.document_weights = table.document_weights;
    append_row(alone, table.rows[row], {});
    alone.rows[0].tokens = 0;
    alone.rows[0].status = Status::pending;
    bool ended = columns(table) == 0;
    for (std::size_t column = 0; column < columns(table); ++column) {
        const DocumentStatus status = cell_status(table, row, column);
        ended = ended || status == DocumentStatus::skipped;
        if (status == DocumentStatus::done || status == DocumentStatus::not_finite) {
            set_cell(alone, 0, column, document_nll_of(table, row)[column]);
        }
    }
    if (!ended) {
        settle_row(alone, 0);
    } else if (table.rows[row].status != Status::pending) {
        const bool failed = table.rows[row].status != Status::skipped;
        close_row(alone, 0, failed ? Status::failed : Status::skipped);
    }
    return alone.rows[0];
}

/// What is wrong with the cells of a row by themselves.
template <typename Row>
std::optional<std::string> cell_departure(const ScoreTable<Row>& table, std::size_t row) {
    for (std::size_t column = 0; column < columns(table); ++column) {
        const double nll = document_nll_of(table, row)[column];
        const DocumentStatus status = cell_status(table, row, column);
        const bool fits = status == DocumentStatus::done         ? std::isfinite(nll) && nll >= 0.0
                          : status == DocumentStatus::not_finite ? std::isinf(nll)
                                                                 : std::isnan(nll);
        if (fits) continue;
        return fmt::format("has document_nll = {} in column {}, which is \"{}\"", nll, column,
                           spelled(status));
    }
    return std::nullopt;
}

template <typename Row>
std::optional<std::string> score_departure(const ScoreTable<Row>& table, std::size_t row) {
    if (auto text = cell_departure(table, row)) return text;
    return departure(table.rows[row], rescored(table, row));
}

/// One stage of a history against what follows from its seed and document scores.
class StageVerification {
public:
    StageVerification(const Configuration& configuration, const StageSettings& settings,
                      const StageHistory& stored, const StageHistory* base)
        : settings_{settings},
          base_{base},
          stored_{stored},
          plan_{plan_stored_stage(configuration, settings, stored)} {}

    [[nodiscard]] VerifiedStage run() const {
        check_facts();
        check_base();
        check_scores(stored_.baselines, "baselines");
        check_evaluations();
        for (const ScoreGroup* group : final_groups()) {
            check_scores(stored_.*group->member, group->name);
        }
        const StageRun replay = replayed(plan_, stored_);
        const std::uint32_t last = replay.plan().settings.iterations;
        for (const std::uint32_t iterations : final_iterations()) {
            if (iterations != last) check_earlier_end(iterations);
        }
        check_final_phase(last, replay.history());
        check_best(replay.history());
        return {stored_.name, stored_.evaluations.rows.size(), stored_.generations.size(),
                replay.restored(), stored_.complete};
    }

private:
    [[noreturn]] void refuse(const std::string& what) const {
        throw ReplayMismatch{fmt::format("stage \"{}\" of the history: {}", stored_.name, what)};
    }

    /// The scalars of the stage and the documents of its tables.
    void check_facts() const {
        const auto same = [this](const char* what, double found, double follows) {
            if (!agree(what, found, follows)) {
                refuse(fmt::format("it has {} = {}, but {} follows", what, found, follows));
            }
        };
        if (stored_.kind != settings_.kind) {
            refuse(fmt::format("it has kind = {}, but {} follows", stored_.kind, settings_.kind));
        }
        same("target_tokens", stored_.target_tokens, static_cast<double>(plan_.positions));
        same("attention_scale", stored_.attention_scale, plan_.attention_scale);
        const auto check = [&](const auto& table, const std::string& name) {
            const std::size_t documents = columns(table) / plan_.lengths.size();
            if (documents * plan_.lengths.size() != columns(table)) {
                refuse(fmt::format("{} has {} columns for {} lengths", name, columns(table),
                                   plan_.lengths.size()));
            }
            for (std::size_t column = 0; column < columns(table); ++column) {
                const ScoredLength& length = plan_.lengths[column / documents];
                same((name + "/document_tokens").c_str(),
                     static_cast<double>(table.document_tokens[column]),
                     static_cast<double>(length.tokens - 1));
                same((name + "/document_weight").c_str(), table.document_weights[column],
                     length.weight);
            }
        };
        check(stored_.evaluations, "evaluations");
        for (const ScoreGroup& group : score_groups) check(stored_.*group.member, group.name);
    }

    /// What it builds on is what that stage found.
    void check_base() const {
        if (settings_.base.empty()) return;
        if (base_ == nullptr || !base_->complete) {
            refuse(fmt::format("it builds on stage \"{}\", which is not finished", settings_.base));
        }
        const BaseRecord follows = base_record(*base_);
        if (const auto text = departure(stored_.base, follows)) refuse("base " + *text);
        if (stored_.base != follows) {
            refuse(fmt::format("base has other factors than the result of stage \"{}\"",
                               settings_.base));
        }
    }

    void check_scores(const ScoreTable<ScoreRow>& table, const char* name) const {
        for (std::size_t row = 0; row < table.rows.size(); ++row) {
            if (const auto text = score_departure(table, row)) {
                refuse(
                    fmt::format("{}: row {} (\"{}\") {}", name, row, table.rows[row].name, *text));
            }
        }
    }

    /// Rows in their order: of two that do not follow, the first one is named, whether its scores
    /// or its genes are wrong.
    void check_evaluations() const {
        const ScoreTable<EvaluationRow>& table = stored_.evaluations;
        for (std::size_t row = 0; row < table.rows.size(); ++row) {
            auto text = score_departure(table, row);
            if (!text) text = unexplained_failure(row);
            if (!text) continue;
            static_cast<void>(replayed(plan_, evolution(row)));
            refuse(fmt::format("individual {} {}", row, *text));
        }
        const StageRun replay = replayed(plan_, evolution(table.rows.size()));
        const StageHistory& follows = replay.history();
        check_prefix(table.rows, follows.evaluations.rows, "individual");
        check_prefix(stored_.generations, follows.generations, "generation");
        check_prefix(stored_.baselines.rows, follows.baselines.rows, "baseline");
    }

    /// The stage before its final phase, with this many individuals.
    [[nodiscard]] StageHistory evolution(std::size_t individuals) const {
        StageHistory before = stored_;
        before.evaluations = first_rows(stored_.evaluations, individuals);
        for (const ScoreGroup* group : final_groups()) {
            before.*group->member = first_rows(stored_.*group->member, 0);
        }
        return before;
    }

    /// Scored after the last generation.
    static std::vector<const ScoreGroup*> final_groups() {
        std::vector<const ScoreGroup*> groups;
        for (const ScoreGroup& group : score_groups) {
            if (group.member != &StageHistory::baselines) groups.push_back(&group);
        }
        return groups;
    }

    /// Where cells are skipped, faults must have ended the individual.
    [[nodiscard]] std::optional<std::string> unexplained_failure(std::size_t row) const {
        const auto& table = stored_.evaluations;
        const bool by_fault =
            table.rows[row].status == Status::failed && scores_held(table, row) < columns(table);
        const bool explained =
            std::ranges::any_of(stored_.failures, [row](const FailureRow& fault) {
                return fault.phase == "evaluations" && fault.row == row;
            });
        if (!by_fault || explained) return std::nullopt;
        return "has failed without all its document scores, but failures names no fault of it";
    }

    /// Snapshots may be taken before the search has bred all that it could, never after.
    template <typename Row>
    void check_prefix(const std::vector<Row>& stored, const std::vector<Row>& follows,
                      const char* what) const {
        for (std::size_t row = 0; row < stored.size(); ++row) {
            if (row >= follows.size()) refuse(fmt::format("{} {} does not follow", what, row));
            if (const auto text = departure(stored[row], follows[row])) {
                refuse(fmt::format("{} {} {}", what, row, *text));
            }
        }
        if (stored_.complete && stored.size() < follows.size()) {
            refuse(fmt::format("{} {} is missing", what, stored.size()));
        }
    }

    /// Rows of the final phase after this many iterations.
    static std::vector<ScoreRow> rows_after(const ScoreTable<ScoreRow>& table,
                                            std::uint32_t iterations) {
        std::vector<ScoreRow> rows;
        std::ranges::copy_if(
            table.rows, std::back_inserter(rows),
            [iterations](const ScoreRow& row) { return row.iterations == iterations; });
        return rows;
    }

    void check_final_phase(std::uint32_t iterations, const StageHistory& follows) const {
        for (const ScoreGroup* group : final_groups()) {
            check_prefix(rows_after(stored_.*group->member, iterations),
                         rows_after(follows.*group->member, iterations), group->name);
        }
    }

    /// The final phase that an earlier start reached with fewer iterations than now.
    void check_earlier_end(std::uint32_t iterations) const {
        StagePlan plan = plan_;
        plan.settings.iterations = iterations;
        plan.settings.max_evaluations = 0;
        plan.settings.stagnation = 0;
        plan.settings.budget_gpu_hours = 0;
        plan.search.iterations = iterations;
        const std::size_t total =
            settings_.population +
            std::size_t{iterations} * (settings_.mutations + settings_.crossovers);
        if (iterations > settings_.iterations || total > stored_.evaluations.rows.size()) {
            refuse(
                fmt::format("it has final rows after {} iterations, but its individuals do not "
                            "go that far",
                            iterations));
        }
        StageHistory until = stored_;
        until.evaluations = first_rows(stored_.evaluations, total);
        // What was there at that end: later rows may hold scores that it had not.
        for (const ScoreGroup* group : final_groups()) {
            ScoreTable<ScoreRow>& table = until.*group->member;
            table = first_rows(table, 0);
            take_rows(table, stored_.*group->member,
                      [iterations](const ScoreRow& row) { return row.iterations <= iterations; });
        }
        check_final_phase(iterations, replayed(plan, until).history());
    }

    [[nodiscard]] std::set<std::uint32_t> final_iterations() const {
        std::set<std::uint32_t> iterations;
        for (const ScoreGroup* group : final_groups()) {
            for (const ScoreRow& row : (stored_.*group->member).rows) {
                iterations.insert(row.iterations);
            }
        }
        return iterations;
    }

    /// A snapshot may be a step behind: the choice of the search, while the validation is done.
    void check_best(const StageHistory& follows) const {
        const BestRecord& best = stored_.best;
        if (!stored_.complete && best.chosen_by != follows.best.chosen_by) return;
        if (const auto text = departure(best, follows.best)) refuse("best " + *text);
        if (best.factors != follows.best.factors) {
            refuse("best has other factors than its individual");
        }
        if (stored_.complete && stored_.ended_by != follows.ended_by && !stored_.ended_by.empty()) {
            refuse(fmt::format("it is said to have ended by {}, but {} follows", stored_.ended_by,
                               follows.ended_by));
        }
        if (stored_.complete != follows.complete) {
            refuse(fmt::format("it is said to be {}, but is not",
                               stored_.complete ? "complete" : "incomplete"));
        }
    }

    /// As far as the scores go. A search that ran out of parents follows all the same.
    static StageRun replayed(const StagePlan& plan, const StageHistory& stored) {
        StageRun run{plan, &stored};
        try {
            while (!run.ready().empty()) {
            }
        } catch (const NoParents&) {
            return run;
        }
        return run;
    }

    const StageSettings& settings_;
    const StageHistory* base_;  ///< the stage of that name in the history; null if there is none
    const StageHistory& stored_;
    StagePlan plan_;
};

Configuration configuration_of(const RunHistory& history) {
    try {
        return parse_configuration(history.configuration, "/@configuration");
    } catch (const ConfigurationError& error) {
        throw HistoryError{
            fmt::format("the configuration in the history cannot be read: {}", error.what())};
    }
}

/// The header says what the configuration says.
void check_header(const RunHistory& history, const Configuration& configuration) {
    const auto refuse = [](const std::string& what, const auto& stored, const auto& follows) {
        throw ReplayMismatch{fmt::format("the history has {} = {}, but its configuration gives {}",
                                         what, stored, follows)};
    };
    if (history.seed != configuration.run.seed) {
        refuse("seed", history.seed, configuration.run.seed);
    }
    const auto identity = identity_settings(configuration);
    for (const auto& [key, value] : identity) {
        const auto stored = history.identity.find(key);
        if (stored == history.identity.end()) refuse(key, "no value", value);
        if (stored->second != value) refuse(key, stored->second, value);
    }
    for (const auto& [key, value] : history.identity) {
        if (!identity.contains(key)) refuse(key, value, "no such key");
    }
    // One that has not begun may stand anywhere between those that have.
    auto next = configuration.stages.begin();
    for (std::size_t i = 0; i < history.stages.size(); ++i) {
        const auto follows = std::ranges::find(next, configuration.stages.end(),
                                               history.stages[i].name, &StageSettings::name);
        if (follows == configuration.stages.end()) {
            refuse(fmt::format("stage {}", i + 1), history.stages[i].name,
                   next == follows ? "no such stage" : next->name);
        }
        next = std::next(follows);
    }
}

}  // namespace

std::vector<VerifiedStage> verify(const RunHistory& history) {
    const Configuration configuration = configuration_of(history);
    check_header(history, configuration);
    std::vector<VerifiedStage> verified;
    for (const StageHistory& stage : history.stages) {
        const StageSettings& settings =
            *std::ranges::find(configuration.stages, stage.name, &StageSettings::name);
        const auto base = std::ranges::find(history.stages, settings.base, &StageHistory::name);
        verified.push_back(StageVerification{configuration, settings, stage,
                                             base == history.stages.end() ? nullptr : &*base}
                               .run());
    }
    return verified;
}

}  // namespace longrope::coordinator
