// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cli/evaluation_jobs.hpp"
#include "cli/score_report.hpp"

namespace longrope::cli {

/// One cell of the table, over all documents.
struct CellSummary {
    std::string method;
    std::uint64_t tokens = 0;     ///< length, or window
    double perplexity = 0.0;      ///< weighted by tokens; NaN if an evaluation failed
    double error = 0.0;           ///< its standard error; NaN for one document
    double window_mean = 0.0;     ///< exp of the mean over windows of their mean NLL
    PairedDifference difference;  ///< to the reference method, paired by document
    std::uint64_t scored_tokens = 0;
    std::uint64_t windows = 0;
    bool failed = false;  ///< a document, or a window of one, could not be scored
};

/// What `evaluate` found: every cell, in the order methods x lengths.
struct EvaluationReport {
    std::vector<CellSummary> cells;
    std::string reference;  ///< the method that differences are to; empty: a method alone
};
[[nodiscard]] EvaluationReport summarise(const EvaluationPlan& plan,
                                         std::span<const CellScores> cells);

/// The cells that could not be scored, a line each, with the document and why; empty: none.
[[nodiscard]] std::string failures_text(const EvaluationPlan& plan,
                                        std::span<const CellScores> cells);

/// Tables for people.
[[nodiscard]] std::string report_text(const EvaluationPlan& plan, const EvaluationReport& report,
                                      std::span<const CellScores> cells);

/// JSON on one line, with the scores of each document.
[[nodiscard]] std::string report_json(const EvaluationPlan& plan, const EvaluationReport& report,
                                      std::span<const CellScores> cells);

/// A line per method and length, with a header; docs/evaluate.md has the columns.
[[nodiscard]] std::string report_csv(const EvaluationPlan& plan, const EvaluationReport& report);

}  // namespace longrope::cli
