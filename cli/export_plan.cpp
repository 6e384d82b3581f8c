// SPDX-License-Identifier: Apache-2.0
#include "cli/export_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "cli/evaluation_plan.hpp"
#include "cli/export_sources.hpp"
#include "cli/output_files.hpp"
#include "cli/run_inputs.hpp"
#include "cli/standard_error.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/model/model_folder.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, ExportFormat>, 4> formats{
    {{"hf", ExportFormat::hugging_face},
     {"vllm", ExportFormat::vllm},
     {"csv", ExportFormat::csv},
     {"json", ExportFormat::json}}};

ExportFormat format_of(const cxxopts::ParseResult& parsed) {
    const auto name = parsed["format"].as<std::string>();
    for (const auto& [known, format] : formats) {
        if (known == name) return format;
    }
    if (name == "gguf") {
        throw UsageError{
            "--format gguf: scripts/export_gguf.py writes GGUF files, from a folder that --format "
            "hf has written and checked: longrope export RUN --format hf --output FOLDER, then "
            "python scripts/export_gguf.py FOLDER --output MODEL.gguf"};
    }
    throw UsageError{fmt::format("--format {}: expected hf, vllm, gguf, csv or json", name)};
}

/// What can be said of the output before anything is read; a single file is checked against what
/// was read, too.
void check_output(const ExportPlan& plan) {
    const std::string where = fmt::format("--output {}", plan.output.string());
    if (plan.format != ExportFormat::hugging_face) {
        if (plan.copy_weights) throw UsageError{"--copy goes with --format hf"};
        if (!plan.output.has_filename()) {
            throw UsageError{fmt::format("{}: it is a folder, expected a file to write", where)};
        }
        check_output_files({{where, plan.output}}, {}, plan.replace);
        return;
    }
    if (plan.replace) throw UsageError{"--force goes with --format vllm, csv and json"};
    const fs::path folder = plan.output.has_parent_path() ? plan.output.parent_path() : ".";
    if (!fs::is_directory(folder)) {
        throw UsageError{
            fmt::format("{}: the folder {} does not exist: make it first", where, folder.string())};
    }
    if (fs::exists(plan.output) && !(fs::is_directory(plan.output) && fs::is_empty(plan.output))) {
        throw UsageError{fmt::format(
            "{}: it exists already; a folder is written anew, so give another name", where)};
    }
}

/// Refuses flags that would do nothing here.
void check_flags(const cxxopts::ParseResult& parsed, bool imported) {
    if (imported) {
        for (const char* flag : {"run-directory", "stage"}) {
            if (parsed.count(flag) > 0) throw UsageError{fmt::format("--{} goes with a run", flag)};
        }
    }
    const bool unseen = parsed.count("no-verify") > 0;
    if (!unseen && (!imported || parsed.count("documents") > 0)) return;
    for (const char* flag : {"limit", "split"}) {
        if (parsed.count(flag) == 0) continue;
        throw UsageError{
            fmt::format("--{} says what is scored, and nothing is: {}", flag,
                        unseen ? "leave out --no-verify" : "it goes with --documents")};
    }
}

/// A list for up to the original window goes by itself into a file that holds one.
void settle_list_for_short_texts(ExportPlan& plan, bool imported) {
    RopeExport& rope = plan.rope;
    if (rope.target_tokens() > rope.original_window) return;
    const bool holds_one = plan.format == ExportFormat::csv || plan.format == ExportFormat::json;
    if (!holds_one || !rope.short_list.is_ones) {
        throw UsageError{
            fmt::format("{}: it is for {} tokens, and the original window has {}: the long list is "
                        "for more. Give it as {} beside another, or by itself to --format csv or "
                        "json",
                        rope.long_list.origin, rope.target_tokens(), rope.original_window,
                        imported ? "--short-factors" : "--short-stage")};
    }
    rope.short_list = {};
}

void check_model(const ExportPlan& plan) {
    const RopeExport& rope = plan.rope;
    if (!plan.model) return;
    if (plan.model->rotary_dim != rope.rotary_dim) {
        throw UsageError{fmt::format("{}: {} rotary pairs, and the factors are {}",
                                     plan.configuration.model.path, plan.model->rotary_pairs(),
                                     rope.rotary_dim / 2)};
    }
    if (plan.model->rope_theta != rope.theta) {
        throw UsageError{fmt::format("{}: rope_theta is {}, and the factors were searched for {}",
                                     plan.configuration.model.path, plan.model->rope_theta,
                                     rope.theta)};
    }
}

/// Factors may go with other weights than they were found on, tuned ones say; whoever does it
/// without meaning to should hear of it.
void tell_other_weights(const ExportPlan& plan) {
    if (!plan.model || plan.rope.model_digest.empty()) return;
    try {
        const std::string digest = evaluator::ModelFolder{plan.configuration.model.path}.digest();
        if (digest == plan.rope.model_digest) return;
        print_error("the factors were found on another model (digest {}) than {} ({})\n",
                    plan.rope.model_digest, plan.configuration.model.path, digest);
    } catch (const evaluator::EvaluatorError&) {
        // A folder without weights has no digest; whatever needs them says what is wrong.
    }
}

/// No engine knows start tokens; our own format does.
void settle_start_tokens(const cxxopts::ParseResult& parsed, ExportPlan& plan) {
    const bool drop = parsed.count("drop-start-tokens") > 0;
    const bool carried = plan.format == ExportFormat::json;
    if (carried && drop && plan.rope.short_list.start_tokens <= 1) {
        throw UsageError{"--drop-start-tokens: --format json keeps them"};
    }
    for (auto [list, dropped] : {std::pair{&plan.rope.long_list, &plan.dropped_long},
                                 std::pair{&plan.rope.short_list, &plan.dropped_short}}) {
        // One start token is none: position 0 has angle 0 either way.
        if (list->start_tokens <= 1 || (carried && list == &plan.rope.long_list)) continue;
        if (!drop) {
            throw UsageError{fmt::format(
                "{}: {} start tokens, which {}; --drop-start-tokens leaves them out and scores the "
                "list again without",
                list->origin, list->start_tokens,
                carried ? "only the long list may have" : "no engine's format has")};
        }
        const bool has_documents = parsed.count("factors") == 0 || parsed.count("documents") > 0;
        if (parsed.count("no-verify") > 0 || !has_documents) {
            throw UsageError{
                fmt::format("--drop-start-tokens: without start tokens the list must be scored "
                            "again; {}",
                            has_documents ? "leave out --no-verify"
                                          : "name documents to score it on with --documents")};
        }
        *dropped = std::exchange(list->start_tokens, 0);
    }
    if (!carried) plan.rope.long_list.start_tokens = plan.rope.short_list.start_tokens = 0;
}

/// The first ones of a list's own documents.
std::vector<std::uint32_t> first_documents(const FactorList& list, std::uint64_t limit) {
    std::vector<std::uint32_t> documents = list.score.value().documents;
    documents.resize(std::min<std::size_t>(documents.size(), limit));
    return documents;
}

/// What the reloaded lists are scored on: the documents that the history has scores on, or for
/// imported lists those of a split.
void choose_documents(const cxxopts::ParseResult& parsed, ExportPlan& plan) {
    RopeExport& rope = plan.rope;
    plan.short_tokens = rope.short_list.score
                            ? rope.short_list.tokens
                            : std::min(rope.original_window, rope.target_tokens());
    const bool imported = parsed.count("factors") > 0;
    const bool has_documents = !imported || parsed.count("documents") > 0;
    if (parsed.count("no-verify") > 0 || !has_documents) return;
    const coordinator::RunFacts facts = read_facts(plan.configuration);
    const std::uint64_t limit = document_limit(parsed);
    if (rope.long_list.score) {
        if (facts.documents_digest != rope.documents_digest) {
            throw coordinator::HistoryError{fmt::format(
                "{}: digest {}, and the scores of the history are of documents with {}: name them "
                "with --documents",
                plan.configuration.documents.path, facts.documents_digest, rope.documents_digest)};
        }
        plan.long_documents = first_documents(rope.long_list, limit);
        plan.short_documents =
            rope.short_list.score ? first_documents(rope.short_list, limit) : plan.long_documents;
        return;
    }
    if (rope.model_digest.empty()) rope.model_digest = facts.model_digest;
    rope.documents_digest = facts.documents_digest;
    const auto split = parsed["split"].as<std::string>();
    for (std::uint32_t i = 0; i < facts.documents.size(); ++i) {
        if (facts.documents[i].split != split || plan.long_documents.size() == limit) continue;
        if (facts.documents[i].positions < rope.target_tokens()) {
            throw UsageError{fmt::format(
                "--documents: document {} (\"{}\") fills only {} of {} "
                "positions",
                i, facts.documents[i].title, facts.documents[i].positions, rope.target_tokens())};
        }
        plan.long_documents.push_back(i);
    }
    if (plan.long_documents.empty()) {
        throw UsageError{fmt::format("--split {}: the documents file has no such document", split)};
    }
    plan.short_documents = plan.long_documents;
}

}  // namespace

void add_export_flags(cxxopts::Options& options) {
    options.positional_help("[DIRECTORY|CONFIG|FILE.h5]");
    options.add_options()("RUN", "run directory, its configuration file, or the history",
                          cxxopts::value<std::vector<std::string>>());
    options.parse_positional({"RUN"});
    auto add = options.add_options("Export");
    const auto text = [] { return cxxopts::value<std::string>(); };
    add("format", "hf, vllm, csv or json; gguf says which script writes it",
        text()->default_value("hf"));
    add("output", "folder to make (hf) or file to write", text());
    add("individual", "export this individual of the stage (default: its choice)", text());
    add("short-stage",
        "stage whose factors are the short list, for up to the original window (default: ones)",
        text());
    add("drop-start-tokens", "export factors that were searched with start tokens without them");
    add("no-verify", "do not score what was written");
    add("limit", "score it on the first N documents only (default: all)", text());
    add("copy", "copy the weights into the folder (default: links)");
    add("force", "replace a file that exists");
    add("json", "print JSON");
    auto input = options.add_options("Imported factors, in place of a run");
    input("model", "Hugging Face folder (with a run: another folder than the search had)", text());
    input("documents", "documents file to score on (with a run: another path)", text());
    input("split", "documents to score on", text()->default_value("heldout"));
    input("factors", "file with the long list: one per line, a line per layer, or JSON", text());
    input("short-factors", "file with the short list (default: that of --factors, else ones)",
          text());
    input("repair", "raise each factor to the largest before it");
    input("start-tokens", "of --factors", text());
    input("target-tokens", "length that --factors is for", text());
    input("original-window", "tokens (default or 0: of the model)", text());
}

namespace {

/// Reads the model and the facts of the documents, for lists that are known.
void read_inputs(const cxxopts::ParseResult& parsed, ExportPlan& plan) {
    if (plan.configuration.evaluator.backend != "synthetic") {
        plan.model = evaluator::read_model_config(plan.configuration.model.path);
    } else if (plan.format == ExportFormat::hugging_face || plan.format == ExportFormat::vllm) {
        throw UsageError{fmt::format("--format {}: the synthetic backend has no model folder",
                                     parsed["format"].as<std::string>())};
    }
    if (plan.format == ExportFormat::csv && !plan.rope.short_list.is_ones) {
        throw UsageError{
            fmt::format("--format csv: a file holds one list; leave out the short one ({}), or "
                        "export it by itself",
                        plan.rope.short_list.origin)};
    }
    settle_list_for_short_texts(plan, parsed.count("factors") > 0);
    check_model(plan);
    settle_start_tokens(parsed, plan);
    tell_other_weights(plan);
    choose_documents(parsed, plan);
}

}  // namespace

ExportPlan plan_export(const cxxopts::ParseResult& parsed) {
    ExportPlan plan;
    plan.format = format_of(parsed);
    plan.output = text_of(parsed, "output");
    if (plan.format == ExportFormat::hugging_face && !plan.output.has_filename()) {
        plan.output = plan.output.parent_path();  // the folder NAME may be given as NAME/
    }
    for (const char* ending : {"csv", "json", "gguf"}) {
        if (parsed.count("format") > 0 || plan.output.extension() != fmt::format(".{}", ending)) {
            continue;
        }
        throw UsageError{fmt::format(
            "--output {}: without --format a folder is written; --format {} for such a file",
            plan.output.string(), ending)};
    }
    plan.copy_weights = parsed.count("copy") > 0;
    plan.replace = parsed.count("force") > 0;
    if (plan.output.empty()) {
        throw UsageError{"longrope export needs --output; see longrope export --help"};
    }
    check_output(plan);
    const bool imported = parsed.count("factors") > 0;
    if (imported && parsed.count("RUN") > 0) {
        throw UsageError{"--factors: take a run or a file of factors, not both"};
    }
    check_flags(parsed, imported);
    if (imported || parsed.count("RUN") == 0) {
        if (!imported) {
            throw UsageError{
                "longrope export needs a run, or --model and --factors; see longrope export "
                "--help"};
        }
        export_from_files(parsed, plan);
    } else {
        if (parsed.count("repair") > 0) throw UsageError{"--repair goes with --factors"};
        export_from_run(parsed, plan);
    }
    try {
        read_inputs(parsed, plan);
    } catch (const evaluator::EvaluatorError& error) {
        throw evaluator::EvaluatorError{error.what() + plan.missing_inputs};
    }
    return plan;
}

}  // namespace longrope::cli
