// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_encoding.hpp"

#include <fmt/format.h>
#include <hdf5_hl.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>

#include "coordinator/file_image.hpp"
#include "coordinator/group_writer.hpp"
#include "coordinator/history_digest.hpp"
#include "coordinator/utf8_text.hpp"
#include "storage/hdf5_handle.hpp"

namespace longrope::coordinator {

using storage::check_hdf5;
using storage::Hdf5Dataset;

namespace {

/// Makes every text of a row or record storable.
template <typename Record>
void mend_texts(Record& record) {
    for_each_field<Record>([&](const auto& field) {
        if constexpr (std::is_same_v<decltype(field.member), std::string Record::*>) {
            std::string& text = record.*field.member;
            if (!is_storable_text(text)) text = storable_text(text);
        }
    });
}

/// `history` with every text as the file can hold it.
RunHistory with_storable_texts(RunHistory history) {
    const auto mend_all = [](auto& rows) {
        for (auto& row : rows) mend_texts(row);
    };
    const auto mend_titles = [](auto& table) {
        for (std::string& title : table.document_titles) title = storable_text(title);
    };
    mend_texts(history);
    std::map<std::string, std::string> identity;
    for (const auto& [key, value] : history.identity) {
        identity.emplace(storable_text(key), storable_text(value));
    }
    history.identity = std::move(identity);
    for (StageHistory& stage : history.stages) {
        stage.name = storable_text(stage.name);
        for (const ScoreGroup& part : score_groups) {
            mend_all((stage.*part.member).rows);
            mend_titles(stage.*part.member);
        }
        mend_titles(stage.evaluations);
        mend_all(stage.failures);
        mend_texts(stage.best);
        mend_texts(stage.base);
        mend_texts(stage);
    }
    mend_all(history.workers);
    return history;
}

void make_scale(const Hdf5Dataset& dataset, const char* name) {
    check_hdf5(H5DSset_scale(dataset.get(), name),
               fmt::format("make \"{}\" a dimension scale", name));
}

void attach_scale(const Hdf5Dataset& dataset, const Hdf5Dataset& scale, unsigned dimension) {
    check_hdf5(H5DSattach_scale(dataset.get(), scale.get(), dimension), "attach a dimension scale");
}

Hdf5Dataset write_indices(const GroupWriter& group, const char* name, std::size_t count,
                          const DatasetText& text) {
    std::vector<std::uint32_t> indices(count);
    std::iota(indices.begin(), indices.end(), 0U);
    Hdf5Dataset dataset = group.dataset(name, {count}, indices, text);
    make_scale(dataset, name);
    return dataset;
}

/// The scale of a table's rows: their numbers, or, outside the evolution, their names.
Hdf5Dataset write_row_scale(const GroupWriter& group, const std::vector<EvaluationRow>& rows) {
    return write_indices(group, "individual", rows.size(),
                         {"1", "Individual", "number of the row"});
}

Hdf5Dataset write_row_scale(const GroupWriter& group, const std::vector<ScoreRow>& rows) {
    std::vector<std::string> names;
    for (const ScoreRow& row : rows) names.push_back(row.name);
    Hdf5Dataset dataset = group.dataset("name", names, {"", "Name", "label of the row"});
    make_scale(dataset, "name");
    return dataset;
}

template <typename Row>
void write_score_table(const GroupWriter& group, const char* name, const char* description,
                       const ScoreTable<Row>& table) {
    const hsize_t rows = table.rows.size();
    const hsize_t columns = table.documents.size();
    const Hdf5Dataset scores = group.table(name, table.rows, {"", "Scores", description});
    const Hdf5Dataset row = write_row_scale(group, table.rows);
    const Hdf5Dataset dimension =
        write_indices(group, "dimension", table.dimensions,
                      {"1", "Rotary dimension", "index of the rotary frequency, fastest first"});
    const Hdf5Dataset document =
        group.dataset("document_index", {columns}, table.documents,
                      {"1", "Document", "number of the document in the documents' file"});
    make_scale(document, "document_index");
    const Hdf5Dataset title = group.dataset("document_title", table.document_titles,
                                            {"", "Title", "title of the document"});
    make_scale(title, "document_title");
    group.dataset("document_tokens", {columns}, table.document_tokens,
                  {"token", "Scored tokens", "tokens of the document that are scored"});
    group.dataset("document_weight", {columns}, table.document_weights,
                  {"1", "Weight", "of the mean over all columns of as many tokens"});

    const Hdf5Dataset factors =
        group.dataset("factors", {rows, table.dimensions}, table.factors,
                      {"1", "Rescale factors", "divisor of each rotary frequency; NaN if skipped"});
    const Hdf5Dataset nll = group.dataset(
        "document_nll", {rows, columns}, table.document_nll,
        {"nat", "Negative log-likelihood",
         "sum over the document's scored tokens; NaN if missing or skipped, +inf if not finite"});
    const Hdf5Dataset status =
        group.dataset("document_status", {rows, columns}, table.document_status,
                      {"", "Status", "state of each document's score"});
    write_legend<DocumentStatus>(status.get(), "legend");

    attach_scale(scores, row, 0);
    attach_scale(factors, row, 0);
    attach_scale(factors, dimension, 1);
    for (const Hdf5Dataset* matrix : {&nll, &status}) {
        attach_scale(*matrix, row, 0);
        attach_scale(*matrix, document, 1);
        attach_scale(*matrix, title, 1);
    }
}

/// A NeXus NXdata group: programs that know it draw `signal` over `axis` unasked.
GroupWriter plot_group(const GroupWriter& plots, const char* name, const char* axis,
                       const char* title) {
    GroupWriter plot = plots.group(name);
    plot.attribute("NX_class", std::string{"NXdata"});
    plot.attribute("signal", std::string{name});
    plot.attribute("axes", std::vector<std::string>{axis});
    plot.attribute("title", std::string{title});
    return plot;
}

void write_plots(const GroupWriter& stage_group, const StageHistory& stage) {
    const std::vector<EvaluationRow>& rows = stage.evaluations.rows;
    stage_group.attribute("NX_class", std::string{"NXcollection"});
    if (rows.empty()) return;
    const GroupWriter plots = stage_group.group("plots");
    stage_group.attribute("default", std::string{"plots"});
    plots.attribute("NX_class", std::string{"NXcollection"});
    plots.attribute("default", std::string{"best_perplexity"});

    std::vector<double> best(rows.size(), std::numeric_limits<double>::quiet_NaN());
    double best_so_far = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const bool better = rows[i].status == Status::done && !(rows[i].perplexity >= best_so_far);
        if (better) best_so_far = rows[i].perplexity;
        best[i] = best_so_far;
    }
    const GroupWriter curve =
        plot_group(plots, "best_perplexity", "individual", "Best perplexity by evaluation");
    const Hdf5Dataset signal =
        curve.dataset("best_perplexity", {rows.size()}, best,
                      {"1", "Best perplexity so far", "lowest of individuals 0 to this one"});
    attach_scale(signal, write_row_scale(curve, rows), 0);

    if (stage.best.factors.empty()) return;
    const hsize_t dimensions = stage.best.factors.size();
    const GroupWriter line =
        plot_group(plots, "factors", "dimension", "Rescale factors of the best individual");
    const Hdf5Dataset factors = line.dataset("factors", {dimensions}, stage.best.factors,
                                             {"1", "Rescale factor", "of the best individual"});
    attach_scale(factors,
                 write_indices(line, "dimension", dimensions,
                               {"1", "Rotary dimension", "index of the rotary frequency"}),
                 0);
}

void write_stage(const GroupWriter& group, const StageHistory& stage, std::uint32_t order) {
    group.record(stage);
    group.attribute("order", order);
    write_score_table(group, "evaluations", "row i is individual i, whatever came first",
                      stage.evaluations);
    for (const ScoreGroup& part : score_groups) {
        write_score_table(group.group(part.name), "scores", part.description, stage.*part.member);
    }
    group.table("generations", stage.generations, {"", "Generations", "one row per generation"});
    group.table("failures", stage.failures, {"", "Failures", "evaluator faults in order of time"});
    const GroupWriter best = group.group("best");
    best.record(stage.best);
    best.dataset("factors", {stage.best.factors.size()}, stage.best.factors,
                 {"1", "Rescale factors", "of the individual that is exported"});
    const GroupWriter base = group.group("base");
    base.record(stage.base);
    base.dataset("factors", {stage.base.factors.size()}, stage.base.factors,
                 {"1", "Rescale factors", "of the stage that this one builds on"});
    write_plots(group, stage);
}

void write_root(const GroupWriter& root, const RunHistory& history) {
    root.attribute("format", std::string{history_format_name});
    root.attribute("format_version", history_format_version);
    root.attribute("content_sha256", content_digest(history));
    root.record(history);
    const GroupWriter identity = root.group("identity");
    for (const auto& [key, value] : history.identity) identity.attribute(key, value);
    root.table("workers", history.workers, {"", "Workers", "one row per MPI rank"});

    root.attribute("NX_class", std::string{"NXroot"});
    root.attribute("default", std::string{"stages"});
    const GroupWriter stages = root.group("stages");
    stages.attribute("NX_class", std::string{"NXentry"});
    std::uint32_t order = 0;
    for (const StageHistory& stage : history.stages) {
        write_stage(stages.group(stage.name), stage, order++);
    }
    // The latest stage that has begun is what a viewer should open with.
    std::optional<std::string> latest;
    for (const StageHistory& stage : history.stages) {
        if (!latest || !stage.evaluations.rows.empty()) latest = stage.name;
    }
    if (latest) stages.attribute("default", *latest);
}

}  // namespace

std::vector<std::byte> encode_history(const RunHistory& history) {
    const storage::QuietHdf5 quiet;
    const RunHistory stored = with_storable_texts(history);
    require_consistent(stored, "history to be written");
    try {
        return build_file_image([&](hid_t file) { write_root(GroupWriter{file}, stored); });
    } catch (const storage::StorageError& error) {
        throw HistoryError{fmt::format("history to be written: {}", error.what())};
    }
}

}  // namespace longrope::coordinator
