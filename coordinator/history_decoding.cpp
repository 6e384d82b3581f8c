// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_decoding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "coordinator/file_image.hpp"
#include "coordinator/group_reader.hpp"
#include "coordinator/history_digest.hpp"
#include "coordinator/history_encoding.hpp"
#include "storage/hdf5_handle.hpp"
#include "storage/unreadable_file.hpp"

namespace longrope::coordinator {

namespace {

std::string shape_text(const std::vector<hsize_t>& shape) {
    return fmt::format("shape [{}]", fmt::join(shape, ", "));
}

template <typename Value>
std::vector<Value> read_matrix(const GroupReader& group, const std::string& name, hsize_t rows,
                               hsize_t columns) {
    StoredArray<Value> matrix = group.array<Value>(name, 2);
    if (matrix.shape != std::vector<hsize_t>{rows, columns}) {
        group.refuse(name, shape_text(matrix.shape), shape_text({rows, columns}));
    }
    return std::move(matrix.values);
}

template <typename Row>
ScoreTable<Row> read_score_table(const GroupReader& group, const char* name,
                                 std::uint32_t version) {
    ScoreTable<Row> table;
    table.rows = group.table<Row>(name, version);
    const hsize_t rows = table.rows.size();
    table.documents = group.array<std::uint32_t>("document_index", 1).values;
    const hsize_t columns = table.documents.size();
    table.document_titles = group.texts("document_title");
    table.document_tokens = group.array<std::uint64_t>("document_tokens", 1).values;
    table.document_weights = version < campaigns_since
                                 ? std::vector<double>(columns, 1.0)
                                 : group.array<double>("document_weight", 1).values;
    table.document_nll = read_matrix<double>(group, "document_nll", rows, columns);
    table.document_status = read_matrix<DocumentStatus>(group, "document_status", rows, columns);

    StoredArray<double> factors = group.array<double>("factors", 2);
    if (factors.shape[0] != rows) {
        group.refuse("factors", shape_text(factors.shape), fmt::format("{} rows", rows));
    }
    table.dimensions = static_cast<std::uint32_t>(factors.shape[1]);
    table.factors = std::move(factors.values);
    return table;
}

StageHistory read_stage(const GroupReader& group, const std::string& name, std::uint32_t version) {
    StageHistory stage;
    stage.name = name;
    group.record(stage, version);
    stage.evaluations = read_score_table<EvaluationRow>(group, "evaluations", version);
    for (const ScoreGroup& part : score_groups) {
        stage.*part.member = read_score_table<ScoreRow>(group.group(part.name), "scores", version);
    }
    stage.generations = group.table<GenerationRow>("generations", version);
    stage.failures = group.table<FailureRow>("failures", version);
    const GroupReader best = group.group("best");
    best.record(stage.best, version);
    stage.best.factors = best.array<double>("factors", 1).values;
    if (version >= campaigns_since) {
        const GroupReader base = group.group("base");
        base.record(stage.base, version);
        stage.base.factors = base.array<double>("factors", 1).values;
    }
    return stage;
}

/// The stages in the order of the configuration, which their attribute `order` keeps.
std::vector<StageHistory> read_stages(const GroupReader& stages, std::uint32_t version) {
    const std::vector<std::string> names = stages.group_names();
    std::vector<std::pair<std::uint32_t, StageHistory>> read;
    for (const std::string& name : names) {
        const GroupReader group = stages.group(name);
        const auto order = group.number_attribute<std::uint32_t>("order");
        read.emplace_back(order, read_stage(group, name, version));
    }
    std::ranges::sort(read, {}, [](const auto& entry) { return entry.first; });
    std::vector<StageHistory> ordered;
    for (std::uint32_t i = 0; i < read.size(); ++i) {
        if (read[i].first != i) {
            stages.refuse(read[i].second.name + "/@order", fmt::format("{}", read[i].first),
                          fmt::format("{}", i));
        }
        ordered.push_back(std::move(read[i].second));
    }
    return ordered;
}

RunHistory read_root(const GroupReader& root, const std::string& file) {
    if (!root.has_attribute("format")) {
        throw HistoryError{
            fmt::format("{}: HDF5, but no history: found no attribute \"format\", "
                        "expected \"{}\"",
                        file, history_format_name)};
    }
    if (const std::string format = root.text_attribute("format"); format != history_format_name) {
        root.refuse("@format", fmt::format("\"{}\"", format),
                    fmt::format("\"{}\"", history_format_name));
    }
    const auto version = root.number_attribute<std::uint32_t>("format_version");
    if (version > history_format_version) {
        throw NewerHistory{
            fmt::format("{}: /@format_version: found {}, expected 1 to {}: a newer program wrote "
                        "this, use that one",
                        file, version, history_format_version)};
    }
    if (version == 0) {
        root.refuse("@format_version", "0", fmt::format("1 to {}", history_format_version));
    }
    const std::string digest = root.text_attribute("content_sha256");

    RunHistory history;
    root.record(history, version);
    const GroupReader identity = root.group("identity");
    for (const std::string& key : identity.attribute_names()) {
        history.identity.emplace(key, identity.text_attribute(key));
    }
    history.workers = root.table<WorkerRow>("workers", version);
    history.stages = read_stages(root.group("stages"), version);
    require_consistent(history, file);
    if (const std::string found = content_digest(history, version); found != digest) {
        root.refuse("@content_sha256", "values with digest " + found,
                    digest + ": the file is damaged or was edited");
    }
    return history;
}

}  // namespace

RunHistory decode_history(std::span<const std::byte> image, const std::string& file) {
    // What begins otherwise does not come near HDF5, which would look for a beginning further on.
    const std::string unreadable = storage::describe_unreadable(image, image.size());
    if (unreadable != "damaged") {
        throw HistoryError{fmt::format("{}: {}, expected a history (HDF5)", file, unreadable)};
    }
    // HDF5 1.10 loses memory of its own on some damaged files and complains on stderr at exit. Its
    // exit handler has nothing to do here; the call counts if it is the process's first to HDF5.
    H5dont_atexit();
    const storage::QuietHdf5 quiet;
    try {
        const storage::Hdf5File opened = open_file_image(image);
        return read_root(GroupReader{opened.get(), file, image.size()}, file);
    } catch (const storage::StorageError& error) {
        throw HistoryError{fmt::format("{}: damaged: {}", file, error.what())};
    }
}

}  // namespace longrope::coordinator
