// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluation_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/history_argument.hpp"
#include "cli/output_files.hpp"
#include "cli/run_inputs.hpp"
#include "cli/standard_error.hpp"
#include "cli/waiting_stage.hpp"
#include "coordinator/history_file.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/model/model_config.hpp"
#include "genome/attention_scale.hpp"
#include "genome/named_baselines.hpp"

namespace longrope::cli {
namespace {

/// The flags of `evaluate` that are settings too.
constexpr std::array<std::pair<const char*, const char*>, 4> own_setting_flags{
    {{"model", "model.path"},
     {"documents", "documents.path"},
     {"original-window", "model.original_window"},
     {"angles", "evaluator.angles"}}};

/// Stands in for a configuration file, which has documents, a stage and a run directory.
constexpr std::string_view no_file = R"(
[documents]
path = "none"
[run]
directory = "none"
[[stage]]
name = "none"
target_tokens = 2147483647
)";

/// What is evaluated, and what was searched with it so far.
struct Source {
    coordinator::Configuration configuration;
    std::optional<coordinator::RunHistory> history;
    std::filesystem::path history_file;  ///< there or not; empty: no run
    std::string missing_inputs{};        ///< as the function of that name says
};

/// Refuses to write over what is read, or over a file that is there without --force.
void check_outputs(const cxxopts::ParseResult& parsed,
                   const coordinator::Configuration& configuration) {
    const auto named = [&parsed](const char* flag) -> NamedFile {
        return {fmt::format("--{} {}", flag, text_of(parsed, flag)), text_of(parsed, flag)};
    };
    std::vector<NamedFile> outputs;
    for (const char* flag : {"csv", "hdf5", "per-token"}) {
        if (parsed.count(flag) > 0) outputs.push_back(named(flag));
    }
    std::vector<NamedFile> inputs = files_of(configuration);
    if (parsed.count("factors") > 0) inputs.push_back(named("factors"));
    if (parsed.count("RUN") > 0) {
        const std::string file = positional(parsed, "RUN", "evaluate");
        inputs.push_back(
            {fmt::format("the {} {}", is_configuration_word(file) ? "configuration" : "history",
                         file),
             file});
    }
    check_output_files(outputs, inputs, parsed.count("force") > 0);
}

/// The run as it was begun, wherever its history lies now.
Source source_of_history(const std::filesystem::path& file,
                         const std::vector<coordinator::Override>& overrides) {
    coordinator::RunHistory history = read_present_history(file);
    coordinator::Configuration configuration = configuration_of(history, file, overrides);
    configuration.run.directory = file.has_parent_path() ? file.parent_path().string() : ".";
    std::string missing = missing_inputs(history, file, configuration);
    return {std::move(configuration), std::move(history), file, std::move(missing)};
}

/// The settings of a run's configuration file or history, or defaults; flags win either way.
Source source_of(const cxxopts::ParseResult& parsed) {
    if (parsed.count("RUN") > 0) {
        const std::string word = positional(parsed, "RUN", "evaluate");
        if (!is_configuration_word(word)) {
            return source_of_history(history_argument(word, parsed), input_overrides(parsed));
        }
        coordinator::Configuration configuration =
            coordinator::read_configuration(word, input_overrides(parsed));
        std::filesystem::path file{configuration.run.directory};
        file /= "search.h5";
        return {std::move(configuration), coordinator::read_history(file), file};
    }
    if (parsed.count("model") == 0 || parsed.count("documents") == 0) {
        throw UsageError{
            "longrope evaluate needs a run, or --model and --documents; see longrope evaluate "
            "--help"};
    }
    for (const char* flag : {"run-directory", "stage"}) {
        if (parsed.count(flag) == 0) continue;
        throw UsageError{fmt::format("--{} goes with a run", flag)};
    }
    return {folder_configuration(parsed, "longrope evaluate"), std::nullopt, {}};
}

/// The stage that is evaluated. Nothing without a run.
/// @throws UsageError if there are several and --stage names none: the last one that has got
///         somewhere would be another one from day to day
const coordinator::StageSettings* evaluated_stage(const cxxopts::ParseResult& parsed,
                                                  const coordinator::Configuration& configuration) {
    const auto& stages = configuration.stages;
    if (stages.empty()) return nullptr;
    if (parsed.count("stage") > 0) {
        return &named_stage(configuration, text_of(parsed, "stage"));
    }
    if (stages.size() == 1) return &stages.front();
    std::vector<std::string> names;
    for (const coordinator::StageSettings& stage : stages) names.push_back(stage.name);
    throw UsageError{fmt::format(
        "the run has several stages: say with --stage whose factors and weights are meant ({})",
        fmt::join(names, ", "))};
}

/// @throws StageWaits, as a search ends, if the model of the stage is still to be made
/// @throws EvaluatorError if the stage has begun, so that its model is somewhere
void require_stage_model(const coordinator::Configuration& configuration,
                         const coordinator::StageSettings& stage, const Source& source) {
    if (is_model_there(stage.model)) return;
    const auto& history = source.history;
    if (history && std::ranges::find(history->stages, stage.name,
                                     &coordinator::StageHistory::name) != history->stages.end()) {
        throw evaluator::EvaluatorError{fmt::format(
            "{} has no config.json, and stage \"{}\" began with this model: from another "
            "folder, say with --model where it is",
            stage.model, stage.name)};
    }
    const auto index = static_cast<std::size_t>(&stage - configuration.stages.data());
    throw StageWaits{
        waiting_text(configuration, index, source.history_file).substr(1)};  // begins a line
}

/// Takes the weights of the stage; the window stays that of the run's model.
void take_stage_model(coordinator::Configuration& configuration, const std::string& model) {
    if (configuration.evaluator.backend != "synthetic") {
        if (configuration.model.original_window == 0) {
            configuration.model.original_window =
                evaluator::read_model_config(configuration.model.path).original_window();
        }
        configuration.model.path = model;
    }
}

std::vector<std::uint64_t> windows_of(const cxxopts::ParseResult& parsed, const std::string& flag) {
    const std::vector<std::string> parts =
        comma_separated(text_of(parsed, flag.c_str()), "--" + flag);
    std::vector<std::uint64_t> lengths;
    for (const std::string& part : parts) lengths.push_back(parse_window(part, "--" + flag));
    refuse_repetition(lengths, "--" + flag);
    return lengths;
}

/// The columns, and how a document is read for them.
void read_lengths(const cxxopts::ParseResult& parsed, EvaluationPlan& plan,
                  std::uint64_t stage_target) {
    if (parsed.count("window") > 0) {
        constexpr std::uint64_t papers_stride = 256;  // arXiv:2402.13753, section 4.1
        plan.tokens = windows_of(parsed, "window");
        plan.stride = papers_stride;
        if (parsed.count("stride") > 0) {
            plan.stride = parse_integer<std::uint64_t>(text_of(parsed, "stride"), "--stride");
            if (plan.stride == 0) throw UsageError{"--stride 0: at least 1 token"};
        }
        if (parsed.count("tokens") > 0) {
            plan.read_positions = parse_window(text_of(parsed, "tokens"), "--tokens");
            const std::uint64_t longest = *std::ranges::max_element(plan.tokens);
            if (plan.read_positions < longest) {
                throw UsageError{fmt::format("--tokens {}: less than the window of {} tokens",
                                             plan.read_positions, longest)};
            }
        } else if (plan.configuration.evaluator.backend == "synthetic") {
            throw UsageError{
                "--window: documents of the synthetic backend have no end; say with --tokens how "
                "much of them is read"};
        }
    } else if (parsed.count("stride") > 0) {
        throw UsageError{"--stride goes with --window"};
    } else if (parsed.count("tokens") > 0) {
        plan.tokens = windows_of(parsed, "tokens");
    } else if (stage_target > 0) {
        plan.tokens = {plan.facts.original_window};
        if (stage_target != plan.facts.original_window) plan.tokens.push_back(stage_target);
        std::ranges::sort(plan.tokens);
    } else {
        throw UsageError{"--tokens is missing: which lengths, for example --tokens 256,2048"};
    }
}

/// Those of the split that fill the longest length, as a stage takes those that fill its target.
void choose_documents(EvaluationPlan& plan, std::uint64_t limit) {
    const std::uint64_t longest = *std::ranges::max_element(plan.tokens);
    std::optional<std::uint32_t> short_one;
    for (std::uint32_t i = 0; i < plan.facts.documents.size(); ++i) {
        const coordinator::DocumentFacts& document = plan.facts.documents[i];
        if (plan.documents.size() == limit) break;
        if (document.split != plan.split) continue;
        if (document.positions < longest) {
            if (!short_one) short_one = i;
            ++plan.short_documents;
            continue;
        }
        plan.documents.push_back(i);
        plan.titles.push_back(document.title);
    }
    if (plan.documents.empty() && short_one) {
        const coordinator::DocumentFacts& document = plan.facts.documents[*short_one];
        throw UsageError{fmt::format(
            "--{} {}: document {} (\"{}\") fills only {} positions{}",
            plan.stride == 0 ? "tokens" : "window", longest, *short_one, document.title,
            document.positions,
            plan.short_documents == 1 ? ""
                                      : fmt::format("; of the {} of split \"{}\" none fills them",
                                                    plan.short_documents, plan.split))};
    }
    if (plan.documents.empty()) {
        throw UsageError{
            fmt::format("--split \"{}\": the documents file has no such document (splits "
                        "are search, validation, heldout)",
                        plan.split)};
    }
}

}  // namespace

std::uint64_t parse_window(const std::string& text, const std::string& flag) {
    constexpr std::uint64_t least = 2;
    constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
    const auto tokens = spelled_number<std::uint64_t>(text);
    if (tokens && *tokens >= least && *tokens <= most) return *tokens;
    throw UsageError{fmt::format("{}: found \"{}\", expected an integer of {} to {}, in tokens",
                                 flag, text, least, most)};
}

std::uint64_t document_limit(const cxxopts::ParseResult& parsed) {
    if (parsed.count("limit") == 0) return std::numeric_limits<std::uint64_t>::max();
    const auto limit = parse_integer<std::uint64_t>(text_of(parsed, "limit"), "--limit");
    if (limit == 0) throw UsageError{"--limit 0: at least 1 document"};
    return limit;
}

std::vector<coordinator::Override> input_overrides(const cxxopts::ParseResult& parsed) {
    std::vector<coordinator::Override> overrides = overrides_of(parsed);
    for (const auto& [flag, key] : own_setting_flags) {
        if (parsed.count(flag) == 0) continue;
        overrides.push_back({key, text_of(parsed, flag), fmt::format("--{}", flag), ""});
    }
    return overrides;
}

coordinator::Configuration folder_configuration(const cxxopts::ParseResult& parsed,
                                                const std::string& verb) {
    coordinator::Configuration configuration =
        coordinator::parse_configuration(no_file, verb, input_overrides(parsed));
    configuration.run.directory.clear();
    configuration.stages.clear();
    return configuration;
}

void add_evaluation_flags(cxxopts::Options& options) {
    auto add = options.add_options("Evaluation");
    const auto text = [] { return cxxopts::value<std::string>(); };
    add("model", "Hugging Face folder", text());
    add("documents", "documents file (HDF5)", text());
    add("split", "search, validation or heldout", text()->default_value("heldout"));
    add("limit", "evaluate the first N documents of the split only (default: all)", text());
    add("tokens",
        "lengths to evaluate, for example 256,512,2048; with --window how much of each document is "
        "read (default: all of it)",
        text());
    add("window",
        "slide windows of these lengths over each document, for example 256,512, in place of "
        "reading its beginning whole",
        text());
    add("stride", "tokens that a window is moved by (default: 256)", text());
    add("methods",
        fmt::format("rows: {}, model (the scaling of its config.json), searched (by "
                    "the run); default {} and searched",
                    genome::accepted_baselines(), default_methods),
        text());
    add("target-tokens",
        "length that vectors and scales are built for, once for all columns (default: of a run the "
        "stage's target_tokens where they are beyond the original window, else the largest column)",
        text());
    add("original-window", "tokens (default or 0: of the model)", text());
    add("angles", "double or float32 (as Hugging Face)", text());
    add("factors",
        "file with rescale factors, a further row: one per line, a line per layer, or JSON",
        text());
    add("repair", "raise each factor of --factors to the largest before it");
    add("start-tokens", "of --factors", text());
    add("per-token", "HDF5 file for the negative log-likelihood of every token", text());
    add("csv", "CSV file for a line per method and length", text());
    add("hdf5", "HDF5 file for the scores of each document", text());
    add("force", "replace files that exist");
    add("json", "print JSON with the scores of each document");
}

std::uint64_t EvaluationPlan::tokens_read(std::size_t column) const {
    const std::uint64_t filled = facts.documents[documents[column]].positions;
    const std::uint64_t read = read_positions == 0 ? filled : std::min(filled, read_positions);
    return read - (facts.begin_with_bos ? 1 : 0);
}

namespace {

/// Reads model and documents.
EvaluationPlan plan_of(const cxxopts::ParseResult& parsed, const Source& source) {
    EvaluationPlan plan;
    plan.configuration = source.configuration;
    check_outputs(parsed, plan.configuration);
    const coordinator::StageSettings* stage = evaluated_stage(parsed, plan.configuration);
    if (stage != nullptr && !stage->model.empty() && parsed.count("model") == 0) {
        require_stage_model(plan.configuration, *stage, source);
        plan.stage_model = stage->model;
        take_stage_model(plan.configuration, stage->model);
    }
    coordinator::Configuration of_stage = plan.configuration;
    of_stage.stages.clear();  // the models of the others do not matter
    plan.facts = read_facts(of_stage);
    // That of a stage's own model may have been written anew by its training.
    if (plan.stage_model.empty() && !plan.facts.tokenizer_mismatch.empty()) {
        print_error("{}\n", plan.facts.tokenizer_mismatch);
    }
    plan.split = parsed["split"].as<std::string>();
    read_lengths(parsed, plan, stage == nullptr ? 0 : stage->target_tokens);
    if (parsed.count("target-tokens") > 0) {
        plan.target_tokens = parse_window(text_of(parsed, "target-tokens"), "--target-tokens");
    } else if (stage != nullptr && stage->target_tokens > plan.facts.original_window) {
        // The searched row is for that length, and rows for another are no match for it. Within the
        // window, as of a recovery, all methods are the model itself.
        plan.target_tokens = stage->target_tokens;
        plan.target_stage = stage->name;
    } else {
        plan.target_tokens = *std::ranges::max_element(plan.tokens);
    }
    const std::string& rule = plan.configuration.evaluator.attention_scale;
    const auto scale = genome::AttentionScale::parse(rule);
    if (!scale) {
        throw UsageError{fmt::format("--attention-scale {}: expected {}", rule,
                                     genome::AttentionScale::accepted())};
    }
    plan.attention_scale = scale->value(static_cast<double>(plan.facts.original_window),
                                        static_cast<double>(plan.target_tokens));
    plan.per_token = text_of(parsed, "per-token");
    plan.csv = text_of(parsed, "csv");
    plan.hdf5 = text_of(parsed, "hdf5");
    if (plan.stride > 0 && !plan.per_token.empty()) {
        throw UsageError{
            "--per-token: losses per token are of whole documents; leave out --window"};
    }
    plan.methods = evaluated_methods(parsed, plan, source.history, stage);
    choose_documents(plan, document_limit(parsed));
    return plan;
}

}  // namespace

EvaluationPlan plan_evaluation(const cxxopts::ParseResult& parsed) {
    const Source source = source_of(parsed);
    try {
        return plan_of(parsed, source);
    } catch (const evaluator::EvaluatorError& error) {
        throw evaluator::EvaluatorError{error.what() + source.missing_inputs};
    }
}

}  // namespace longrope::cli
