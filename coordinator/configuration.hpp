// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace longrope::coordinator {

/// A configuration that cannot be used: origin (file:line, environment variable or flag), key, what
/// was found, what is accepted, the nearest known name.
class ConfigurationError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// The defaults of the structs below are the defaults of the settings; keys, units and ranges are
// declared in coordinator/setting_declarations.cpp and documented in docs/configuration.md.

struct ModelSettings {
    std::string path;                   ///< identity is the digest, not the path
    std::uint64_t original_window = 0;  ///< tokens; 0: from config.json

    friend bool operator==(const ModelSettings&, const ModelSettings&) = default;
};

struct DocumentSettings {
    std::string path;
    std::uint32_t search = 0;      ///< how many of the split, chosen by seed; 0: all
    std::uint32_t validation = 0;  ///< likewise
    std::uint32_t heldout = 0;     ///< likewise

    friend bool operator==(const DocumentSettings&, const DocumentSettings&) = default;
};

struct SyntheticKeys {  ///< [evaluator.synthetic]
    std::uint32_t dimensions = 16;
    double theta = 10000.0;
    std::uint32_t original_window = 256;
    std::uint32_t documents = 8;
    double duration_ms = 0.0;
    double duration_spread = 0.0;
    std::string fault = "none";
    std::uint32_t fault_every = 0;
    std::uint32_t poison_every = 0;

    friend bool operator==(const SyntheticKeys&, const SyntheticKeys&) = default;
};

struct BackendSettings {
    std::string backend = "auto";      ///< auto, cuda, cpu, reference, synthetic
    std::string precision = "f32";     ///< f32, bf16
    std::uint32_t threads = 0;         ///< per evaluator; 0: cores of the node / ranks of the node
    std::string weights = "resident";  ///< resident, streamed
    std::string isa = "auto";          ///< auto, baseline, avx2, avx512
    std::string attention_scale = "su";  ///< su, yarn, none, or a number of 0.01 to 100
    std::string angles = "double";       ///< double, float32
    /// A task is given at least this long before it is a hang.
    double deadline_floor_seconds = 600;
    /// An evaluator must be ready this long after its start.
    double start_seconds = 600;
    SyntheticKeys synthetic;

    friend bool operator==(const BackendSettings&, const BackendSettings&) = default;
};

struct RunSettings {
    std::string directory;
    std::uint64_t seed = 42;
    std::uint32_t max_faults = 3;   ///< of fresh evaluator processes on a task
    double watchdog_seconds = 300;  ///< a rank without word from the coordinator ends
    double lease_seconds = 300;     ///< a rank silent for this long is lost
    double snapshot_seconds = 30;   ///< longest time between snapshots
    double time_limit_seconds = 0;  ///< 0: none; stops early and leaves a resumable run
    bool allow_mixed_numerics = false;

    friend bool operator==(const RunSettings&, const RunSettings&) = default;
};

struct StageSettings {
    std::string name;
    std::uint64_t target_tokens = 0;
    std::string kind = "search";  ///< search, recovery
    std::string base;             ///< the earlier stage whose result it builds on; empty: none
    std::string model;            ///< folder of the stage's own weights; empty: model.path
    std::string finetune;         ///< of the training that makes `model` (trainings.hpp)
    /// How many documents of each split; empty: as in [documents].
    std::string search_documents;
    std::string validation_documents;
    std::string heldout_documents;
    std::string objective;  ///< "256 = 0.5, 2048 = 0.5" (objective.hpp); empty: the target
    std::uint32_t population = 64;
    std::uint32_t parents = 32;
    std::uint32_t mutations = 16;
    std::uint32_t crossovers = 16;
    double mutation_probability = 0.3;
    std::uint32_t iterations = 40;
    std::uint32_t max_evaluations = 0;  ///< individuals; 0: as many as the iterations give
    std::uint32_t stagnation = 0;       ///< generations without a better best; 0: any number
    double budget_gpu_hours = 0;        ///< of evaluators at work; 0: no limit
    std::string method = "paper";       ///< paper, reference; the latter fixes the next three
    double grid_step = 0.001;
    std::string bound = "1.25s";        ///< "1.25s", "1+s", or a number >= 1
    std::string start_tokens = "gene";  ///< gene, sweep, none
    std::string schedule = "generational";

    friend bool operator==(const StageSettings&, const StageSettings&) = default;
};

/// The effective configuration: defaults, file, LONGROPE_* environment, flags, in rising priority.
struct Configuration {
    ModelSettings model;
    DocumentSettings documents;
    BackendSettings evaluator;
    RunSettings run;
    std::vector<StageSettings> stages;  ///< at least one

    friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// A value that overrides the file. `key` is the dotted key ("run.directory", "stage.iterations").
struct Override {
    std::string key;
    std::string value;   ///< as TOML or bare text
    std::string origin;  ///< "--iterations", "LONGROPE_RUN_DIRECTORY"
    std::string stage;   ///< for stage.* keys: the stage's name; empty: the only stage
};

/// Reads `file`, then applies `overrides` in their order, so the last one for a key wins: those of
/// the environment come before those of the command line. Overridden values of the file are not
/// looked at.
/// @throws ConfigurationError; every value is checked for type and range, unknown keys are errors
[[nodiscard]] Configuration read_configuration(const std::filesystem::path& file,
                                               const std::vector<Override>& overrides);

/// Reads a configuration that is at hand as TOML text; `origin` stands for the file in messages.
/// @throws ConfigurationError
[[nodiscard]] Configuration parse_configuration(std::string_view text, const std::string& origin,
                                                const std::vector<Override>& overrides = {});

/// Overrides from LONGROPE_<TABLE>_<KEY> variables of `environment`: "NAME=value" strings, the last
/// one null, as in `environ`. LONGROPE_EVALUATOR_SYNTHETIC_FAULT is evaluator.synthetic.fault.
/// @throws ConfigurationError for an unknown LONGROPE_ variable
[[nodiscard]] std::vector<Override> environment_overrides(const char* const* environment);

/// The effective configuration as comment-free TOML that read_configuration accepts.
[[nodiscard]] std::string to_toml(const Configuration& configuration);

/// The settings that define the trajectory, dotted key -> canonical text; those of a stage are
/// under stage.<name>.<key>, and "stage.names" lists the stages in order. Paths, iterations,
/// workers, limits and directories are operational and absent, the backend and its instruction set
/// belong to the numerics class; the numbers of documents are in. Settings that came later than the
/// first histories are absent at the value that means what there was before.
[[nodiscard]] std::map<std::string, std::string> identity_settings(
    const Configuration& configuration);

/// Targets from here on have populations of half the size, unless the file gives sizes.
/// Source: LongRoPE (arXiv:2402.13753), section 4.1.
inline constexpr std::uint64_t halved_from_tokens = std::uint64_t{512} * 1024;

/// The largest rescale factor that a bound ("1.25s", "1+s" or a number) allows.
/// @param s  extension ratio, target window / original window
/// @throws ConfigurationError if `bound` is none of these
/// Source: LongRoPE (arXiv:2402.13753), Table 4, for 1.25s; its published code for 1+s.
[[nodiscard]] double max_factor(const std::string& bound, double s);

/// One declared setting, for the reference page and `--help`.
struct SettingDeclaration {
    std::string key;  ///< "stage.population"
    std::string
        type;  ///< "text", "integer", "number", "text or number", "table or text", "true or false"
    std::string default_value;  ///< as TOML; empty: must be given
    std::string range;          ///< "[2, 1000000]"; empty: any value of the type
    std::string unit;           ///< "tokens"; empty: none
    std::string description;    ///< one sentence, without capital and full stop
    bool identity = false;      ///< defines the trajectory, so it cannot change between two starts
};
[[nodiscard]] std::vector<SettingDeclaration> declared_settings();

/// The text of docs/configuration.md.
[[nodiscard]] std::string configuration_reference_markdown();

}  // namespace longrope::coordinator
