// SPDX-License-Identifier: Apache-2.0
#include "cli/run_inputs.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "coordinator/utf8_text.hpp"
#include "evaluator/documents.hpp"
#include "evaluator/documents_probe.hpp"
#include "evaluator/evaluator.hpp"
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

}  // namespace

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
        facts.rotary_pairs = model.config().rotary_pairs();
        facts.theta = model.config().rope_theta;
        facts.original_window = model.config().original_window();
        facts.model_digest = model.digest();
        facts.documents_digest = documents.digest();
        for (std::uint32_t i = 0; i < documents.count(); ++i) {
            if (!coordinator::is_storable_text(documents.title(i))) {
                throw evaluator::EvaluatorError{
                    fmt::format("{}: titles[{}] is not UTF-8: write the file with "
                                "scripts/tokenize_documents.py",
                                configuration.documents.path, i)};
            }
            facts.documents.push_back({documents.title(i),
                                       evaluator::split_name(documents.split(i)),
                                       documents.positions(i)});
        }
    }
    if (configuration.model.original_window != 0) {
        facts.original_window = configuration.model.original_window;
    }
    return facts;
}

protocol::Setup setup_of(const coordinator::Configuration& configuration) {
    const auto absolute = [](const std::string& path) {
        return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
    };
    protocol::Setup setup;
    setup.backend = configuration.evaluator.backend;
    setup.model_path = absolute(configuration.model.path);
    setup.documents_path = absolute(configuration.documents.path);
    setup.precision = configuration.evaluator.precision;
    setup.isa = configuration.evaluator.isa;
    setup.angles = configuration.evaluator.angles;
    setup.threads = configuration.evaluator.threads;
    setup.start_deadline_seconds = configuration.evaluator.deadline_floor_seconds;
    setup.watchdog_seconds = configuration.run.watchdog_seconds;
    const coordinator::SyntheticKeys& keys = configuration.evaluator.synthetic;
    setup.synthetic = {keys.dimensions, keys.theta,       keys.original_window,
                       keys.documents,  keys.duration_ms, keys.duration_spread,
                       keys.fault,      keys.fault_every, keys.poison_every};
    return setup;
}

}  // namespace longrope::cli
