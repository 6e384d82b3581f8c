// SPDX-License-Identifier: Apache-2.0
#include "cli/verify_command.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "cli/history_argument.hpp"
#include "cli/json_text.hpp"
#include "coordinator/history.hpp"
#include "coordinator/verification.hpp"

namespace longrope::cli {
namespace {

void print_text(const std::string& file, std::uint64_t seed,
                const std::vector<coordinator::VerifiedStage>& stages) {
    for (const coordinator::VerifiedStage& stage : stages) {
        std::cout << fmt::format(
            "stage \"{}\": {} individuals in {} generations follow from seed {} and {} document "
            "scores{}\n",
            stage.name, stage.individuals, stage.generations, seed, stage.scores,
            stage.complete ? ", and so do its result and its held-out table"
                           : "; it is not complete");
    }
    std::cout << fmt::format("{} is verified.\n", file) << std::flush;
}

void print_json(const std::string& file, std::uint64_t seed,
                const std::vector<coordinator::VerifiedStage>& stages) {
    boost::json::array entries;
    for (const coordinator::VerifiedStage& stage : stages) {
        entries.push_back({{"name", stage.name},
                           {"individuals", stage.individuals},
                           {"generations", stage.generations},
                           {"document_scores", stage.scores},
                           {"complete", stage.complete}});
    }
    const boost::json::object report{
        {"file", file}, {"verified", true}, {"seed", seed}, {"stages", std::move(entries)}};
    std::cout << json_line(report) << std::flush;
}

}  // namespace

ExitCode run_verify(const Words& words) {
    cxxopts::Options options{
        "longrope verify",
        "Replays the search in a history from its seed and its document scores: every individual, "
        "mean,\ngeneration and choice must follow. The first row that does not is named, and the "
        "exit status is 4.\nNeither model nor documents are needed; the document scores "
        "themselves are taken as they are.\n"};
    options.positional_help("DIRECTORY|CONFIG|FILE.h5");
    options.add_options()("DIRECTORY", "run directory, its configuration file, or the history",
                          cxxopts::value<std::vector<std::string>>());
    options.add_options()("json", "print JSON");
    options.parse_positional({"DIRECTORY"});
    add_setting_flags(options, {"run-directory"});
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const auto file = history_argument(positional(*parsed, "DIRECTORY", "verify"), *parsed);
    const bool json = parsed->count("json") > 0;
    const coordinator::RunHistory history = read_present_history(file);
    try {
        const auto stages = coordinator::verify(history);
        (json ? print_json : print_text)(file.string(), history.seed, stages);
        return ExitCode::done;
    } catch (const coordinator::HistoryError& error) {
        if (!json) {
            throw coordinator::HistoryError{
                fmt::format("{}: {}.\nThe history was edited or is damaged: bring back a copy of "
                            "it, or search anew in another run directory.",
                            file.string(), error.what())};
        }
        const boost::json::object report{{"file", file.string()},
                                         {"verified", false},
                                         {"seed", history.seed},
                                         {"reason", error.what()}};
        std::cout << json_line(report) << std::flush;
        return ExitCode::bad_file;
    }
}

}  // namespace longrope::cli
