// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

// Operations on the rows of a ScoreTable; Row is EvaluationRow or ScoreRow.

template <typename Row>
[[nodiscard]] std::size_t columns(const ScoreTable<Row>& table) noexcept {
    return table.documents.size();
}

template <typename Row>
[[nodiscard]] std::span<const double> factors_of(const ScoreTable<Row>& table, std::size_t row) {
    return std::span{table.factors}.subspan(row * table.dimensions, table.dimensions);
}

template <typename Row>
[[nodiscard]] std::span<const double> document_nll_of(const ScoreTable<Row>& table,
                                                      std::size_t row) {
    return std::span{table.document_nll}.subspan(row * columns(table), columns(table));
}

template <typename Row>
[[nodiscard]] DocumentStatus cell_status(const ScoreTable<Row>& table, std::size_t row,
                                         std::size_t column) {
    return table.document_status[row * columns(table) + column];
}

/// A table of the first `count` rows alone.
template <typename Row>
[[nodiscard]] ScoreTable<Row> first_rows(ScoreTable<Row> table, std::size_t count) {
    table.rows.resize(count);
    table.factors.resize(count * table.dimensions);
    table.document_nll.resize(count * columns(table));
    table.document_status.resize(count * columns(table));
    return table;
}

/// Adds a pending row. @param factors shape [dimensions], or empty for a skipped individual: NaN
template <typename Row>
std::size_t append_row(ScoreTable<Row>& table, Row row, std::span<const double> factors) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    row.mean_nll = nan;
    row.perplexity = nan;
    table.rows.push_back(std::move(row));
    if (factors.empty()) {
        table.factors.insert(table.factors.end(), table.dimensions, nan);
    } else {
        table.factors.insert(table.factors.end(), factors.begin(), factors.end());
    }
    table.document_nll.insert(table.document_nll.end(), columns(table), nan);
    table.document_status.insert(table.document_status.end(), columns(table),
                                 DocumentStatus::missing);
    return table.rows.size() - 1;
}

/// Enters the sum of one document; one that is not finite is stored as +infinity.
template <typename Row>
void set_cell(ScoreTable<Row>& table, std::size_t row, std::size_t column, double sum_nll) {
    const std::size_t cell = row * columns(table) + column;
    const bool finite = std::isfinite(sum_nll);
    table.document_nll[cell] = finite ? sum_nll : std::numeric_limits<double>::infinity();
    table.document_status[cell] = finite ? DocumentStatus::done : DocumentStatus::not_finite;
    table.rows[row].tokens += table.document_tokens[column];
}

/// Columns that have no value yet.
template <typename Row>
[[nodiscard]] std::vector<std::uint32_t> missing_columns(const ScoreTable<Row>& table,
                                                         std::size_t row) {
    std::vector<std::uint32_t> missing;
    for (std::size_t column = 0; column < columns(table); ++column) {
        if (cell_status(table, row, column) == DocumentStatus::missing) {
            missing.push_back(static_cast<std::uint32_t>(column));
        }
    }
    return missing;
}

[[nodiscard]] inline bool is_scored(DocumentStatus status) noexcept {
    return status == DocumentStatus::done || status == DocumentStatus::not_finite;
}

/// How many documents of a row have a score.
template <typename Row>
[[nodiscard]] std::uint64_t scores_held(const ScoreTable<Row>& table, std::size_t row) {
    std::uint64_t held = 0;
    for (std::size_t column = 0; column < columns(table); ++column) {
        if (is_scored(cell_status(table, row, column))) ++held;
    }
    return held;
}

/// How many documents of all rows have a score.
template <typename Row>
[[nodiscard]] std::uint64_t scores_in(const ScoreTable<Row>& table) {
    std::uint64_t held = 0;
    for (std::size_t row = 0; row < table.rows.size(); ++row) held += scores_held(table, row);
    return held;
}
[[nodiscard]] inline std::uint64_t scores_in(const StageHistory& stage) {
    return scores_in(stage.baselines) + scores_in(stage.evaluations) + scores_in(stage.validation) +
           scores_in(stage.start_token_sweep) + scores_in(stage.heldout);
}

/// Document scores of another numerics class than the history's.
template <typename Row>
[[nodiscard]] std::uint64_t other_numerics_in(const ScoreTable<Row>& table) {
    std::uint64_t scores = 0;
    for (const Row& row : table.rows) scores += row.other_numerics;
    return scores;
}
[[nodiscard]] inline std::uint64_t other_numerics_in(const StageHistory& stage) {
    return other_numerics_in(stage.baselines) + other_numerics_in(stage.evaluations) +
           other_numerics_in(stage.validation) + other_numerics_in(stage.start_token_sweep) +
           other_numerics_in(stage.heldout);
}

/// Whether a row stands for this very function.
[[nodiscard]] inline bool is_function(const ScoreTable<ScoreRow>& table, std::size_t row,
                                      std::span<const double> factors, std::uint32_t start_tokens) {
    return table.rows[row].start_tokens == start_tokens &&
           std::ranges::equal(factors_of(table, row), factors);
}

/// Document scores that were computed: rows of one function share theirs.
[[nodiscard]] inline std::uint64_t computed_scores(const ScoreTable<ScoreRow>& table) {
    std::uint64_t computed = 0;
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        const auto is_same = [&](std::size_t other) {
            return is_function(table, other, factors_of(table, row), table.rows[row].start_tokens);
        };
        for (std::size_t column = 0; column < columns(table); ++column) {
            if (!is_scored(cell_status(table, row, column))) continue;
            bool is_first = true;
            for (std::size_t other = 0; other < row && is_first; ++other) {
                is_first = !is_scored(cell_status(table, other, column)) || !is_same(other);
            }
            if (is_first) ++computed;
        }
    }
    return computed;
}
[[nodiscard]] inline std::uint64_t computed_scores(const StageHistory& stage) {
    return computed_scores(stage.baselines) + scores_in(stage.evaluations) +
           computed_scores(stage.validation) + computed_scores(stage.start_token_sweep) +
           computed_scores(stage.heldout);
}

/// Ends a row without a score: what is missing is marked as skipped.
template <typename Row>
void close_row(ScoreTable<Row>& table, std::size_t row, Status status) {
    for (const std::uint32_t column : missing_columns(table, row)) {
        table.document_status[row * columns(table) + column] = DocumentStatus::skipped;
    }
    table.rows[row].status = status;
    if (status == Status::failed) {
        table.rows[row].mean_nll = std::numeric_limits<double>::infinity();
        table.rows[row].perplexity = std::numeric_limits<double>::infinity();
    }
}

/// The score of a row whose documents are all in: the token-weighted mean of each length, summed
/// in the order of the columns whatever the order of arrival, and the weighted sum of these.
/// Columns of one length stand together.
template <typename Row>
[[nodiscard]] double weighted_mean_nll(const ScoreTable<Row>& table, std::size_t row) {
    double mean = 0.0;
    std::size_t column = 0;
    while (column < columns(table)) {
        const std::size_t first = column;
        double sum = 0.0;
        std::uint64_t tokens = 0;
        for (; column < columns(table) &&
               table.document_tokens[column] == table.document_tokens[first];
             ++column) {
            sum += document_nll_of(table, row)[column];
            tokens += table.document_tokens[column];
        }
        mean += table.document_weights[first] * (sum / static_cast<double>(tokens));
    }
    return mean;
}

/// Gives a row its score once all documents are in.
/// @returns whether the row is settled
template <typename Row>
bool settle_row(ScoreTable<Row>& table, std::size_t row) {
    if (!missing_columns(table, row).empty()) return false;
    const double mean = weighted_mean_nll(table, row);
    if (std::isfinite(mean)) {
        table.rows[row].status = Status::done;
        table.rows[row].mean_nll = mean;
        table.rows[row].perplexity = std::exp(table.rows[row].mean_nll);
    } else {
        close_row(table, row, Status::failed);
    }
    return true;
}

/// Takes over what another table on the same documents holds of the same factor vector.
template <typename Row>
void restore_row(ScoreTable<Row>& table, std::size_t row, const ScoreTable<Row>& from,
                 std::size_t from_row) {
    Row& to = table.rows[row];
    const Row& source = from.rows[from_row];
    to.status = source.status;
    to.mean_nll = source.mean_nll;
    to.perplexity = source.perplexity;
    to.tokens = source.tokens;
    to.attempts = source.attempts;
    to.worker = source.worker;
    to.started = source.started;
    to.finished = source.finished;
    to.other_numerics = source.other_numerics;
    const std::size_t width = columns(table);
    for (std::size_t column = 0; column < width; ++column) {
        table.document_nll[row * width + column] = from.document_nll[from_row * width + column];
        table.document_status[row * width + column] =
            from.document_status[from_row * width + column];
    }
}

/// Takes over the rows of another table on the same documents for which `keep` holds.
/// @returns the scores they hold
template <typename Keep>
std::uint64_t take_rows(ScoreTable<ScoreRow>& table, const ScoreTable<ScoreRow>& from,
                        const Keep& keep) {
    std::uint64_t held = 0;
    for (std::size_t row = 0; row < from.rows.size(); ++row) {
        if (!keep(from.rows[row])) continue;
        const std::size_t at = append_row(table, from.rows[row], factors_of(from, row));
        restore_row(table, at, from, row);
        held += scores_held(table, at);
    }
    return held;
}

/// Whether a row from `first` on holds a score.
template <typename Row>
[[nodiscard]] bool any_scored_from(const ScoreTable<Row>& table, std::size_t first) {
    for (std::size_t row = first; row < table.rows.size(); ++row) {
        if (scores_held(table, row) > 0) return true;
    }
    return false;
}

}  // namespace longrope::coordinator
