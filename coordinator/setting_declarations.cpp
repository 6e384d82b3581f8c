// SPDX-License-Identifier: Apache-2.0
#include "coordinator/setting_declarations.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <type_traits>

#include "coordinator/nearest_name.hpp"
#include "coordinator/setting_grammars.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::coordinator {
namespace {

constexpr std::int64_t any_count = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t most_tokens = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t most_individuals = 1'000'000;
constexpr std::int64_t least_window = 7;  // above 2 pi, which NTK and YaRN divide it by
constexpr double longest_seconds = 1e9;   // 31 years: a limit in name only, but finite

using C = Configuration;  // keeps the fields below on one line

std::vector<Setting> declare_settings() {
    constexpr auto identity = Effect::identity;
    constexpr auto operational = Effect::operational;
    constexpr auto optional = Need::optional;
    return {
        {"model", "path", "", AnyText{}, operational, Need::with_model,
         "Hugging Face folder: config.json and *.safetensors",
         [](C& c, std::size_t) -> SettingField { return &c.model.path; }},
        {"model", "original_window", "tokens", IntegerRange{least_window, most_tokens, true},
         identity, optional,
         "context window the model was trained with; 0: original_max_position_embeddings of "
         "config.json, else sliding_window where it is in use (use_sliding_window), else "
         "max_position_embeddings",
         [](C& c, std::size_t) -> SettingField { return &c.model.original_window; }},

        {"documents", "path", "", AnyText{}, operational, Need::with_model,
         "HDF5 file of tokenised documents",
         [](C& c, std::size_t) -> SettingField { return &c.documents.path; }},
        {"documents", "search", "documents", IntegerRange{0, any_count}, identity, optional,
         "how many of the search split every individual is scored on, chosen by the seed; 0: all",
         [](C& c, std::size_t) -> SettingField { return &c.documents.search; }},
        {"documents", "validation", "documents", IntegerRange{0, any_count}, identity, optional,
         "how many of the validation split choose among the best individuals; 0: all",
         [](C& c, std::size_t) -> SettingField { return &c.documents.validation; }},
        {"documents", "heldout", "documents", IntegerRange{0, any_count}, identity, optional,
         "how many of the heldout split measure the chosen factors; 0: all",
         [](C& c, std::size_t) -> SettingField { return &c.documents.heldout; }},

        {"evaluator", "backend", "", Choice{{"auto", "cuda", "cpu", "reference", "synthetic"}, {}},
         operational, optional,
         "what computes: auto takes a GPU where there is one and the precision is bf16, else the "
         "CPU; the history keeps to the numerics it began with",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.backend; }},
        {"evaluator", "precision", "", Choice{{"f32", "bf16"}, {}}, identity, optional,
         "format of weights and activations; stored weights are widened or rounded to it",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.precision; }},
        {"evaluator", "threads", "threads", IntegerRange{0, 4096}, operational, optional,
         "of each evaluator process; 0: cores of the node / ranks of the node",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.threads; }},
        {"evaluator", "weights", "", Choice{{"resident", "streamed"}, {}}, operational, optional,
         "what an evaluator on a CPU holds between documents: resident is all weights, streamed is "
         "none, each document packs layer after layer anew; a GPU does what its memory asks for",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.weights; }},
        {"evaluator", "isa", "", Choice{{"auto", "baseline", "avx2", "avx512"}, {}}, operational,
         optional, "instruction set of the CPU backend; pin it where machines differ",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.isa; }},
        {"evaluator", "attention_scale", "",
         Grammar{"\"su\", \"yarn\", \"none\", or a number of 0.01 to 100",
                 canonical_attention_scale, true},
         identity, optional,
         "temperature of the attention: su is sqrt(1 + ln s / ln L), yarn is 0.1 ln s + 1, with "
         "s = target / original window and L the original window",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.attention_scale; }},
        {"evaluator", "angles", "", Choice{{"double", "float32"}, {}}, identity, optional,
         "arithmetic of the rotation angles; float32 is for parity with Hugging Face",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.angles; }},
        {"evaluator", "deadline_floor_seconds", "seconds", RealRange{0, longest_seconds, true},
         operational, optional, "a task is given at least this long before it counts as hung",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.deadline_floor_seconds; }},
        {"evaluator", "start_seconds", "seconds", RealRange{0, longest_seconds, true}, operational,
         optional,
         "an evaluator that is not ready this long after its start is replaced; it reads and packs "
         "the model in that time",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.start_seconds; }},

        {"evaluator.synthetic", "dimensions", "factors", IntegerRange{2, protocol::max_factors},
         identity, optional, "rescale factors of the imagined model: half of its rotary dimension",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.dimensions; }},
        {"evaluator.synthetic", "theta", "", RealRange{1, 1e12, true}, identity, optional,
         "RoPE base of the imagined model",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.theta; }},
        {"evaluator.synthetic", "original_window", "tokens",
         IntegerRange{least_window, most_tokens}, identity, optional,
         "context window of the imagined model",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.original_window; }},
        {"evaluator.synthetic", "documents", "documents", IntegerRange{1, 100'000}, identity,
         optional, "documents of each imagined split",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.documents; }},
        {"evaluator.synthetic", "duration_ms", "milliseconds", RealRange{0, 1e9}, operational,
         optional, "duration of a task",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.duration_ms; }},
        {"evaluator.synthetic", "duration_spread", "", RealRange{0, 1}, operational, optional,
         "relative spread of the duration: uniform in [1 - spread, 1 + spread], by task",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.duration_spread; }},
        {"evaluator.synthetic", "fault", "",
         Choice{{"none", "crash", "hang", "not_finite", "garbage", "start", "error"}, {}},
         operational, optional, "what a faulty task does",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.fault; }},
        {"evaluator.synthetic", "fault_every", "tasks", IntegerRange{0, any_count}, operational,
         optional, "each evaluator process faults on its N-th, 2N-th … task; 0: never",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.fault_every; }},
        {"evaluator.synthetic", "poison_every", "vectors", IntegerRange{0, any_count}, operational,
         optional, "one of N factor vectors always faults; 0: none",
         [](C& c, std::size_t) -> SettingField { return &c.evaluator.synthetic.poison_every; }},

        {"run", "directory", "", AnyText{}, operational, Need::always,
         "where the history, the log and the lock are kept",
         [](C& c, std::size_t) -> SettingField { return &c.run.directory; }},
        {"run", "seed", "", IntegerRange{0, std::numeric_limits<std::int64_t>::max()}, identity,
         optional, "key of every random choice: the documents and the whole search",
         [](C& c, std::size_t) -> SettingField { return &c.run.seed; }},
        {"run", "max_faults", "faults", IntegerRange{1, 1000}, operational, optional,
         "faults of fresh evaluator processes on one task before its individual is failed",
         [](C& c, std::size_t) -> SettingField { return &c.run.max_faults; }},
        {"run", "watchdog_seconds", "seconds", RealRange{1, longest_seconds}, operational, optional,
         "a rank without word from the coordinator for this long ends",
         [](C& c, std::size_t) -> SettingField { return &c.run.watchdog_seconds; }},
        {"run", "lease_seconds", "seconds", RealRange{1, longest_seconds}, operational, optional,
         "a rank silent for this long is lost, and its task goes to another",
         [](C& c, std::size_t) -> SettingField { return &c.run.lease_seconds; }},
        {"run", "snapshot_seconds", "seconds", RealRange{0, 3600}, operational, optional,
         "longest time between two snapshots of the history, if it is below the 30 s that they "
         "take their time in anyway; 0: after every result",
         [](C& c, std::size_t) -> SettingField { return &c.run.snapshot_seconds; }},
        {"run", "time_limit_seconds", "seconds", RealRange{0, longest_seconds}, operational,
         optional,
         "stop in good time before this, as at the end of a Slurm job, resumable; 0: no limit",
         [](C& c, std::size_t) -> SettingField { return &c.run.time_limit_seconds; }},
        {"run", "allow_mixed_numerics", "", TruthValue{}, operational, optional,
         "let workers of another numerics class join; `other_numerics` of a row counts their "
         "scores",
         [](C& c, std::size_t) -> SettingField { return &c.run.allow_mixed_numerics; }},

        {"stage", "name", "",
         Grammar{"1 to 64 bytes without '/' and control characters, not \".\", \"..\" or "
                 "\"documents\"",
                 canonical_stage_name, false},
         identity, Need::always,
         "unique; names the stage's group in the history and its random stream",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).name; }},
        {"stage", "target_tokens", "tokens", IntegerRange{2, most_tokens}, identity, Need::always,
         "context window to reach",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).target_tokens; }},
        {"stage", "kind", "", Choice{{"search", "recovery"}, {}}, identity, optional,
         "search extends the window; recovery searches a list for a short length on the weights of "
         "the stage `base` (docs/campaigns.md)",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).kind; },
         "\"search\""},
        {"stage", "base", "",
         Grammar{"the name of an earlier stage", canonical_stage_reference, false}, identity,
         optional,
         "earlier stage to build on: a search multiplies its result by a further vector, a "
         "recovery starts from it; empty: none",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).base; }, "\"\""},
        {"stage", "model", "", AnyText{}, operational, optional,
         "Hugging Face folder with weights of the stage's own, as tuned with the factors of an "
         "earlier one; empty: model.path. The run waits for a folder without config.json",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).model; }},
        {"stage", "finetune", "",
         Grammar{"a file, or trainings such as \"128k = first.toml, 256k = second.toml\"",
                 canonical_trainings},
         operational, optional,
         "settings file of the training that makes stage.model, for the command that is printed; "
         "or several, each under the factors of an earlier stage, that go on from one another",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).finetune; },
         "\"\""},
        {"stage", "search_documents", "documents",
         Grammar{"a number of at least 0", canonical_count, true}, identity, optional,
         "in place of documents.search for this stage; empty: the same",
         [](C& c, std::size_t stage) -> SettingField {
             return &c.stages.at(stage).search_documents;
         },
         "\"\""},
        {"stage", "validation_documents", "documents",
         Grammar{"a number of at least 0", canonical_count, true}, identity, optional,
         "in place of documents.validation for this stage; empty: the same",
         [](C& c, std::size_t stage) -> SettingField {
             return &c.stages.at(stage).validation_documents;
         },
         "\"\""},
        {"stage", "heldout_documents", "documents",
         Grammar{"a number of at least 0", canonical_count, true}, identity, optional,
         "in place of documents.heldout for this stage; empty: the same",
         [](C& c, std::size_t stage) -> SettingField {
             return &c.stages.at(stage).heldout_documents;
         },
         "\"\""},
        {"stage", "objective", "",
         Grammar{
             "lengths and weights such as { \"256\" = 0.5, \"2048\" = 0.5 }, each weight above 0 "
             "and at least 1e-300 of the largest",
             canonical_objective, false, true},
         identity, optional,
         "lengths in tokens that a list is scored at, the target among them, and how much the "
         "mean negative log-likelihood of each counts; empty: the target alone",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).objective; },
         "\"\""},
        {"stage", "population", "individuals", IntegerRange{2, most_individuals}, identity,
         optional,
         "size of the first population; this and the next three are by default half as large for "
         "targets of 524288 tokens and more",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).population; }},
        {"stage", "parents", "individuals", IntegerRange{2, most_individuals}, identity, optional,
         "the best ones that breed; at most the population",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).parents; }},
        {"stage", "mutations", "individuals", IntegerRange{0, most_individuals}, identity, optional,
         "children by mutation in an iteration",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).mutations; }},
        {"stage", "crossovers", "individuals", IntegerRange{0, most_individuals}, identity,
         optional, "children by crossover in an iteration",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).crossovers; }},
        {"stage", "mutation_probability", "", RealRange{0, 1}, identity, optional,
         "chance that a mutation redraws a gene, for each gene on its own",
         [](C& c, std::size_t stage) -> SettingField {
             return &c.stages.at(stage).mutation_probability;
         }},
        {"stage", "iterations", "iterations", IntegerRange{0, most_individuals}, operational,
         optional, "generations after the first population; raising it continues a run",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).iterations; }},
        {"stage", "max_evaluations", "individuals", IntegerRange{0, most_individuals}, operational,
         optional,
         "begin no generation that would exceed this number; 0: as many as the iterations give",
         [](C& c, std::size_t stage) -> SettingField {
             return &c.stages.at(stage).max_evaluations;
         }},
        {"stage", "stagnation", "generations", IntegerRange{0, most_individuals}, operational,
         optional, "begin no generation after so many without a better individual; 0: go on",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).stagnation; }},
        {"stage", "budget_gpu_hours", "hours", RealRange{0, 1e9}, operational, optional,
         "begin no generation that is expected to bring the time of all evaluators together, at "
         "one device each and without tries that gave no score, above this; 0: no limit",
         [](C& c, std::size_t stage) -> SettingField {
             return &c.stages.at(stage).budget_gpu_hours;
         }},
        {"stage", "method", "", Choice{{"paper", "reference"}, {"cma"}}, identity, optional,
         "operators of the search (docs/method.md): those of LongRoPE's paper, or those of its "
         "published code, which fix grid_step = 0.01, bound = \"1+s\" and start_tokens = \"none\"",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).method; }},
        {"stage", "grid_step", "", RealRange{0, 1, true}, identity, optional,
         "spacing of the rescale factors; the paper has 0.01",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).grid_step; }},
        {"stage", "bound", "",
         Grammar{"a multiple of s such as \"1.25s\", \"1+s\", or a number of at least 1",
                 canonical_bound, true},
         identity, optional,
         "largest rescale factor, with s = target / original window; with a base, of the "
         "multiplier, with s = target / target of the base; \"1+s\" by default where a recovery "
         "is searched, and what follows from s is at least 1.25 there",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).bound; }},
        {"stage", "start_tokens", "", Choice{{"gene", "sweep", "none"}, {}}, identity, optional,
         "leading tokens that keep their positions: bred with the factors, or held at 0 and then "
         "swept on the best, or none at all",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).start_tokens; }},
        {"stage", "schedule", "", Choice{{"generational"}, {"pipelined"}}, identity, optional,
         "which results an individual is bred from: all of the generations before its own",
         [](C& c, std::size_t stage) -> SettingField { return &c.stages.at(stage).schedule; }},
    };
}

}  // namespace

std::string Setting::environment_name() const {
    std::string environment = "LONGROPE_" + table + "_" + name;
    for (char& character : environment) {
        character = character == '.' ? '_' : static_cast<char>(std::toupper(character));
    }
    return environment;
}

const std::vector<SettingTable>& setting_tables() {
    static const std::vector<SettingTable> tables = {
        {"model", "The model whose context window is stretched."},
        {"documents", "The long texts that every factor vector is scored on."},
        {"evaluator", "How a factor vector is scored on a document."},
        {"evaluator.synthetic",
         "A closed-form landscape in place of a model, with programmable duration and faults. For "
         "`evaluator.backend = \"synthetic\"` only."},
        {"run", "Where a run is kept, and its limits."},
        {"stage",
         "One search; `[[stage]]` may be given several times, under different names "
         "([campaigns](campaigns.md))."},
    };
    return tables;
}

const std::vector<Setting>& settings() {
    static const std::vector<Setting> declared = declare_settings();
    return declared;
}

const Setting* find_setting(std::string_view key) {
    const auto found = std::ranges::find(settings(), key, &Setting::key);
    return found == settings().end() ? nullptr : &*found;
}

std::string field_toml(const SettingField& field) {
    return std::visit(
        [](const auto* value) {
            if constexpr (std::is_same_v<decltype(value), const std::string*>) {
                return toml_string(*value);
            } else {
                return fmt::format("{}", *value);
            }
        },
        field);
}

std::string suggest_key(std::string_view unknown_key) {
    std::vector<std::string> keys;
    for (const Setting& setting : settings()) keys.push_back(setting.key());
    auto nearest = nearest_name(unknown_key, keys);
    const std::string_view name = unknown_key.substr(unknown_key.rfind('.') + 1);
    if (!nearest || !nearest->ends_with(name)) {
        const auto same = std::ranges::find(settings(), name, &Setting::name);
        if (same != settings().end()) nearest = same->key();
    }
    return nearest ? fmt::format(" (did you mean {}?)", *nearest) : std::string{};
}

}  // namespace longrope::coordinator
