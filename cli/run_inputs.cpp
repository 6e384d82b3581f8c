// SPDX-License-Identifier: Apache-2.0
#include "cli/run_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>

#include "cli/standard_error.hpp"
#include "coordinator/utf8_text.hpp"
#include "evaluator/documents.hpp"
#include "evaluator/documents_probe.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"
#include "evaluator/model/model_config.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/model/model_tensors.hpp"
#include "evaluator/synthetic/synthetic_evaluator.hpp"

namespace longrope::cli {
namespace {

evaluator::SyntheticSettings landscape_of(const coordinator::SyntheticKeys& keys) {
    evaluator::SyntheticSettings settings;
    settings.dimensions = keys.dimensions;
    settings.theta = keys.theta;
    settings.original_window = keys.original_window;
    settings.documents = keys.documents;
    return settings;  // duration and faults are the workers' business
}

coordinator::RunFacts synthetic_facts(const coordinator::Configuration& configuration) {
    const coordinator::SyntheticKeys& keys = configuration.evaluator.synthetic;
    coordinator::RunFacts facts;
    facts.rotary_pairs = keys.dimensions;
    facts.theta = keys.theta;
    facts.original_window = keys.original_window;
    const evaluator::SyntheticEvaluator landscape{landscape_of(keys)};
    facts.model_digest = landscape.identity().model_digest;
    facts.documents_digest = landscape.identity().documents_digest;
    for (const char* split : {"search", "heldout", "validation"}) {
        for (std::uint32_t i = 1; i <= keys.documents; ++i) {
            coordinator::DocumentFacts document;
            document.title = std::string{"synthetic "} + split + " " + std::to_string(i) + "/" +
                             std::to_string(keys.documents);
            document.split = split;
            document.positions = UINT64_MAX;  // as long as asked for
            facts.documents.push_back(std::move(document));
        }
    }
    return facts;
}

void add_model_facts(coordinator::RunFacts& facts, const evaluator::ModelConfig& config) {
    facts.rotary_pairs = config.rotary_pairs();
    facts.theta = config.rope_theta;
    facts.original_window = config.original_window();
}

void add_document_facts(coordinator::RunFacts& facts, const evaluator::Documents& documents,
                        const std::string& file) {
    for (std::uint32_t i = 0; i < documents.count(); ++i) {
        if (!coordinator::is_storable_text(documents.title(i))) {
            throw evaluator::EvaluatorError{
                fmt::format("{}: titles[{}] is not UTF-8; make it with "
                            "scripts/tokenize_documents.py",
                            file, i)};
        }
        facts.documents.push_back({documents.title(i), evaluator::split_name(documents.split(i)),
                                   documents.positions(i)});
    }
}

/// As many documents of each split as the configuration's largest stage takes, each as long as
/// asked for.
void add_planned_documents(coordinator::RunFacts& facts,
                           const coordinator::Configuration& configuration) {
    const coordinator::DocumentSettings& wanted = configuration.documents;
    struct Split {
        const char* name;
        std::uint32_t common;
        std::string coordinator::StageSettings::*own;  ///< of a stage; empty: the common one
        const char* variable;
    };
    using coordinator::StageSettings;
    for (const auto& [split, common, own, variable] :
         {Split{"search", wanted.search, &StageSettings::search_documents,
                "LONGROPE_DOCUMENTS_SEARCH"},
          Split{"validation", wanted.validation, &StageSettings::validation_documents,
                "LONGROPE_DOCUMENTS_VALIDATION"},
          Split{"heldout", wanted.heldout, &StageSettings::heldout_documents,
                "LONGROPE_DOCUMENTS_HELDOUT"}}) {
        std::uint32_t count = 0;
        for (const StageSettings& stage : configuration.stages) {
            const std::string& its = stage.*own;
            const std::uint32_t asked =
                its.empty() ? common : static_cast<std::uint32_t>(std::stoul(its));
            if (asked == 0) {
                throw coordinator::ConfigurationError{fmt::format(
                    "{} = 0 means all of the documents file, but there is no \"{}\": give a "
                    "number to plan with, for example {}",
                    its.empty() ? fmt::format("documents.{}", split)
                                : fmt::format("stage \"{}\": {}_documents", stage.name, split),
                    wanted.path,
                    its.empty() ? fmt::format("{}=5", variable)
                                : fmt::format("{}_documents = \"5\"", split))};
            }
            count = std::max(count, asked);
        }
        for (std::uint32_t i = 1; i <= count; ++i) {
            facts.documents.push_back({fmt::format("{} {}/{}", split, i, count), split,
                                       std::numeric_limits<std::uint64_t>::max()});
        }
    }
}

void replace_window(coordinator::RunFacts& facts, const coordinator::ModelSettings& model) {
    if (model.original_window != 0) facts.original_window = model.original_window;
}

/// Of the landscape itself, or of the variant that a stage's model stands for.
evaluator::EvaluatorIdentity synthetic_identity(const coordinator::Configuration& configuration,
                                                const std::string& stage_model) {
    evaluator::SyntheticSettings settings = landscape_of(configuration.evaluator.synthetic);
    if (!stage_model.empty()) settings.variant = evaluator::synthetic_variant(stage_model);
    return evaluator::SyntheticEvaluator{settings}.identity();
}

/// The digest of a stage's own model, which must be the run's model after further training.
std::string digest_of_tuned(const std::string& stage, const std::string& folder,
                            const coordinator::Configuration& configuration,
                            const coordinator::RunFacts& facts) {
    if (configuration.evaluator.backend == "synthetic") {
        return synthetic_identity(configuration, folder).model_digest;
    }
    const evaluator::ModelFolder model{folder};
    evaluator::find_tensors(model);
    const auto same = [&](const char* what, auto found, auto expected) {
        if (found == expected) return;
        throw evaluator::EvaluatorError{fmt::format(
            "{}: found {} = {}, expected {} as in {}: the model of stage \"{}\" is the run's model "
            "after further training",
            (std::filesystem::path{folder} / "config.json").string(), what, found, expected,
            configuration.model.path, stage)};
    };
    const evaluator::ModelConfig base = evaluator::read_model_config(configuration.model.path);
    same("rotary pairs", model.config().rotary_pairs(), facts.rotary_pairs);
    same("rope_theta", model.config().rope_theta, facts.theta);
    same("vocab_size", model.config().vocabulary, base.vocabulary);
    return model.digest();
}

void read_stage_models(const coordinator::Configuration& configuration,
                       coordinator::RunFacts& facts) {
    std::map<std::string, std::string> digests;  // by folder
    for (const coordinator::StageSettings& stage : configuration.stages) {
        if (stage.model.empty()) continue;
        std::string& digest = digests[stage.model];
        if (digest.empty() && is_model_there(stage.model)) {
            digest = digest_of_tuned(stage.name, stage.model, configuration, facts);
        }
        facts.stage_model_digests[stage.name] = digest;
    }
}

}  // namespace

bool is_model_there(const std::string& folder) {
    return evaluator::is_there(std::filesystem::path{folder} / "config.json");
}

coordinator::RunFacts read_facts(const coordinator::Configuration& configuration) {
    coordinator::RunFacts facts;
    if (configuration.evaluator.backend == "synthetic") {
        facts = synthetic_facts(configuration);
    } else {
        const evaluator::ModelFolder model{configuration.model.path};
        evaluator::find_tensors(model);  // or every worker would fail to load it
        evaluator::probe_documents(configuration.documents.path);
        const evaluator::Documents documents{configuration.documents.path};
        documents.check_vocabulary(model.config().vocabulary);
        facts.tokenizer_mismatch = documents.tokenizer_mismatch(configuration.model.path);
        add_model_facts(facts, model.config());
        facts.model_digest = model.digest();
        facts.documents_digest = documents.digest();
        facts.begin_with_bos = documents.bos_token_id() >= 0;
        add_document_facts(facts, documents, configuration.documents.path);
    }
    replace_window(facts, configuration.model);
    read_stage_models(configuration, facts);
    return facts;
}

void settle_tokenizer(const coordinator::RunFacts& facts, bool began) {
    if (facts.tokenizer_mismatch.empty()) return;
    if (!began) throw evaluator::EvaluatorError{facts.tokenizer_mismatch};
    print_error("{}\n", facts.tokenizer_mismatch);
}

coordinator::RunFacts planned_facts(const coordinator::Configuration& configuration) {
    if (configuration.evaluator.backend == "synthetic") return read_facts(configuration);
    coordinator::RunFacts facts;
    add_model_facts(facts, evaluator::read_model_config(configuration.model.path));
    const std::string& file = configuration.documents.path;
    if (evaluator::is_there(file)) {
        evaluator::probe_documents(file);
        add_document_facts(facts, evaluator::Documents{file}, file);
    } else {
        add_planned_documents(facts, configuration);
    }
    replace_window(facts, configuration.model);
    return facts;
}

protocol::Setup setup_of(const coordinator::Configuration& configuration,
                         std::uint64_t longest_positions, const std::string& stage_model) {
    const auto absolute = [](const std::string& path) {
        return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
    };
    protocol::Setup setup;
    setup.backend = configuration.evaluator.backend;
    const bool synthetic = configuration.evaluator.backend == "synthetic";
    const std::string& run_model = synthetic ? stage_model : configuration.model.path;
    setup.model_path = absolute(stage_model.empty() ? run_model : stage_model);
    setup.documents_path = absolute(configuration.documents.path);
    setup.precision = configuration.evaluator.precision;
    setup.isa = configuration.evaluator.isa;
    setup.angles = configuration.evaluator.angles;
    setup.weights = configuration.evaluator.weights;
    setup.threads = configuration.evaluator.threads;
    setup.longest_positions = longest_positions;
    setup.start_deadline_seconds = configuration.evaluator.start_seconds;
    setup.watchdog_seconds = configuration.run.watchdog_seconds;
    const coordinator::SyntheticKeys& keys = configuration.evaluator.synthetic;
    setup.synthetic = {keys.dimensions, keys.theta,       keys.original_window,
                       keys.documents,  keys.duration_ms, keys.duration_spread,
                       keys.fault,      keys.fault_every, keys.poison_every};
    return setup;
}

std::uint64_t longest_positions(const coordinator::Configuration& configuration,
                                const coordinator::StageSettings& stage) {
    std::uint64_t longest = 0;
    for (const coordinator::StageSettings& other : configuration.stages) {
        if (other.model == stage.model) longest = std::max(longest, other.target_tokens);
    }
    return longest;
}

std::vector<protocol::Setup> setups_of(const coordinator::Configuration& configuration) {
    std::vector<protocol::Setup> setups;
    for (const coordinator::StageSettings& stage : configuration.stages) {
        setups.push_back(
            setup_of(configuration, longest_positions(configuration, stage), stage.model));
    }
    return setups;
}

InputDigests digests_of(const coordinator::Configuration& configuration,
                        const std::string& stage_model) {
    if (configuration.evaluator.backend == "synthetic") {
        const evaluator::EvaluatorIdentity identity =
            synthetic_identity(configuration, stage_model);
        return {identity.model_digest, identity.documents_digest};
    }
    const evaluator::ModelFolder model{stage_model.empty() ? configuration.model.path
                                                           : stage_model};
    return {model.digest(), evaluator::Documents{configuration.documents.path}.digest()};
}

}  // namespace longrope::cli
