// SPDX-License-Identifier: Apache-2.0
#include "cli/init_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "cli/output_files.hpp"
#include "cli/run_inputs.hpp"
#include "cli/shell_word.hpp"
#include "coordinator/atomic_file.hpp"
#include "coordinator/configuration.hpp"
#include "coordinator/toml_document.hpp"
#include "coordinator/utf8_text.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

/// From here on the paper halves population, mutants and crossovers (arXiv:2402.13753,
/// section 4.1); the parents go with them, since as many parents as individuals would select
/// nothing.
constexpr std::uint64_t halved_from_tokens = 524'288;

constexpr std::array<std::string_view, 5> table_order{"model", "documents", "evaluator", "run",
                                                      "stage"};

std::string table_of(const std::string& key) {
    return key.substr(0, key.rfind('.'));
}

std::string name_of(const std::string& key) {
    return key.substr(key.rfind('.') + 1);
}

/// Every setting of a table: those in `given` set, the others as comments with their defaults.
std::string table_text(std::string_view table, const std::map<std::string, std::string>& given) {
    std::string text = table == "stage" ? "[[stage]]\n" : fmt::format("[{}]\n", table);
    for (const coordinator::SettingDeclaration& setting : coordinator::declared_settings()) {
        if (table_of(setting.key) != table) continue;
        const auto value = given.find(setting.key);
        const std::string line =
            value != given.end()
                ? fmt::format("{} = {}", name_of(setting.key), value->second)
                : fmt::format("# {} = {}", name_of(setting.key), setting.default_value);
        std::string comment = setting.description;
        if (!setting.unit.empty()) comment += fmt::format(" ({})", setting.unit);
        if (!setting.range.empty()) comment += fmt::format("; {}", setting.range);
        text += fmt::format("{:<34} # {}\n", line, comment);
    }
    return text + "\n";
}

/// How many documents of a split are long enough for the target.
std::uint32_t long_enough(const coordinator::RunFacts& facts, std::string_view split,
                          std::uint64_t target) {
    return static_cast<std::uint32_t>(
        std::ranges::count_if(facts.documents, [&](const coordinator::DocumentFacts& document) {
            return document.split == split && document.positions >= target;
        }));
}

void check_documents(const coordinator::RunFacts& facts, const std::string& file,
                     std::uint64_t target) {
    std::uint64_t longest = 0;
    for (const coordinator::DocumentFacts& document : facts.documents) {
        longest = std::max(longest, document.positions);
    }
    for (const char* split : {"search", "validation", "heldout"}) {
        const auto all = static_cast<std::uint32_t>(std::ranges::count(
            facts.documents, std::string{split}, &coordinator::DocumentFacts::split));
        const std::uint32_t usable = long_enough(facts, split, target);
        if (all == 0 && std::string_view{split} == "search") {
            throw coordinator::ConfigurationError{fmt::format(
                "{}: none of its {} documents is of the split \"search\": make the file "
                "with --search or --alternate texts (scripts/tokenize_documents.py)",
                file, facts.documents.size())};
        }
        if (usable < all) {
            throw coordinator::ConfigurationError{fmt::format(
                "{}: {} of {} documents of the split \"{}\" fill {} positions (the longest of the "
                "file fills {}): tokenise longer documents with scripts/tokenize_documents.py, or "
                "use a smaller --target",
                file, usable, all, split, target, longest)};
        }
    }
}

/// What a configuration could not hold is not written into one.
void check_text(const std::string& flag, const std::string& text) {
    const bool control = std::ranges::any_of(text, [](char character) {
        const auto byte = static_cast<unsigned char>(character);
        return byte < 0x20 || byte == 0x7f;
    });
    if (!text.empty() && !control && coordinator::is_storable_text(text)) return;
    throw UsageError{
        fmt::format("--{}: found {}, expected a path in UTF-8 without control characters", flag,
                    coordinator::toml_string(coordinator::storable_text(text)))};
}

/// As model.original_window; 0: of the model.
std::uint64_t original_window_of(const cxxopts::ParseResult& parsed) {
    if (parsed.count("original-window") == 0) return 0;
    constexpr std::uint64_t least = 7;  // as of the setting
    constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
    const auto text = parsed["original-window"].as<std::string>();
    const auto window = spelled_number<std::uint64_t>(text);
    if (window && (*window == 0 || (*window >= least && *window <= most))) return *window;
    throw UsageError{
        fmt::format("--original-window: found \"{}\", expected 0 (the model's) or an integer of {} "
                    "to {}, in tokens",
                    text, least, most)};
}

std::uint64_t target_of(const cxxopts::ParseResult& parsed, const coordinator::RunFacts& facts) {
    const auto text = parsed["target"].as<std::string>();
    constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();
    const auto target = spelled_number<std::uint64_t>(text);
    if (!target || *target > most) {
        throw UsageError{
            fmt::format("--target: found \"{}\", expected an integer of {} to {}, in tokens", text,
                        facts.original_window + 1, most)};
    }
    if (*target > facts.original_window) return *target;
    throw UsageError{fmt::format(
        "--target {}: the {} window has {} tokens already; give a larger number, or with "
        "--original-window a smaller window to start from",
        *target, original_window_of(parsed) == 0 ? "model's original" : "given",
        facts.original_window)};
}

}  // namespace

ExitCode run_init(const Words& words) {
    cxxopts::Options options{
        "longrope init",
        "Writes a commented configuration for a model, documents and a target length.\n"};
    auto add = options.add_options();
    add("model", "Hugging Face folder", cxxopts::value<std::string>());
    add("documents", "documents file of scripts/tokenize_documents.py",
        cxxopts::value<std::string>());
    add("target", "length to extend to, in tokens", cxxopts::value<std::string>());
    add("original-window", "tokens to extend from (default or 0: of the model)",
        cxxopts::value<std::string>());
    add("output", "file to write", cxxopts::value<std::string>()->default_value("longrope.toml"));
    add("run-directory", "where the search will keep its history (default: runs/TARGET)",
        cxxopts::value<std::string>());
    add("force", "replace an existing file");
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    if (!parsed->unmatched().empty()) {
        throw UsageError{
            fmt::format("longrope init takes flags only, found \"{}\"; see longrope init --help",
                        parsed->unmatched().front())};
    }
    for (const char* needed : {"model", "documents", "target"}) {
        if (parsed->count(needed) == 0) {
            throw UsageError{
                fmt::format("longrope init needs --{}; see longrope init --help", needed)};
        }
    }
    for (const char* path : {"model", "documents", "run-directory"}) {
        if (parsed->count(path) > 0) check_text(path, (*parsed)[path].as<std::string>());
    }
    coordinator::Configuration configuration;
    configuration.model.path = (*parsed)["model"].as<std::string>();
    configuration.documents.path = (*parsed)["documents"].as<std::string>();
    configuration.model.original_window = original_window_of(*parsed);
    const fs::path file{(*parsed)["output"].as<std::string>()};
    const auto check_output = [&] {
        check_output_files({{fmt::format("--output {}", file.string()), file}},
                           files_of(configuration), parsed->count("force") > 0);
    };
    check_output();  // before minutes of reading
    const coordinator::RunFacts facts = read_facts(configuration);
    settle_tokenizer(facts, false);
    const std::uint64_t target = target_of(*parsed, facts);
    configuration.run.directory = parsed->count("run-directory") > 0
                                      ? (*parsed)["run-directory"].as<std::string>()
                                      : fmt::format("runs/{}", target);
    check_output();  // nor is it what the search will keep
    check_documents(facts, configuration.documents.path, target);

    std::map<std::string, std::string> given{
        {"model.path", coordinator::toml_string(configuration.model.path)},
        {"documents.path", coordinator::toml_string(configuration.documents.path)},
        // The paper searches on five documents.
        {"documents.search", fmt::to_string(std::min(5U, long_enough(facts, "search", target)))},
        {"run.directory", coordinator::toml_string(configuration.run.directory)},
        {"stage.name", coordinator::toml_string(fmt::to_string(target))},
        {"stage.target_tokens", fmt::to_string(target)}};
    if (configuration.model.original_window != 0) {
        given["model.original_window"] = fmt::to_string(configuration.model.original_window);
    }
    if (target >= halved_from_tokens) {
        given.insert({{"stage.population", "32"},
                      {"stage.parents", "16"},
                      {"stage.mutations", "8"},
                      {"stage.crossovers", "8"}});
    }
    std::string text = fmt::format(
        "# LongRoPE search, {} to {} tokens. Lines that start with # hold the defaults.\n\n",
        facts.original_window, target);
    for (const std::string_view table : table_order) text += table_text(table, given);
    text.pop_back();
    coordinator::write_file_atomically(file, std::as_bytes(std::span{text}));
    std::cout << fmt::format(
        "Wrote {}. Next:\n  longrope search --check {}\n  mpirun --bind-to none --enable-recovery "
        "-n RANKS longrope search {}\n",
        file.string(), shell_word(file.string()), shell_word(file.string()));
    std::cout.flush();
    return ExitCode::done;
}

}  // namespace longrope::cli
