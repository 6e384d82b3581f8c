// SPDX-License-Identifier: Apache-2.0
#include "evaluator/transformer_evaluator.hpp"

#include <fmt/format.h>

#include <fstream>
#include <utility>

#include "evaluator/cpu/cpu_ops.hpp"
#include "evaluator/cpu/matrix_product.hpp"
#include "evaluator/documents.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/precision.hpp"
#include "evaluator/reference/reference_ops.hpp"
#include "evaluator/rotary_table.hpp"
#include "evaluator/transformer.hpp"

namespace longrope::evaluator {
namespace {

/// A backend ready for use and how results of its kind are named.
struct Backend {
    std::unique_ptr<DeviceOps> ops;
    std::string numerics_class;
    std::string device_name;
};

/// "AMD EPYC 9B14"; "CPU" where the system does not say.
std::string cpu_name() {
    std::ifstream file{"/proc/cpuinfo"};
    for (std::string line; std::getline(file, line);) {
        const std::size_t value = line.find(": ");
        if (line.starts_with("model name") && value != std::string::npos) {
            return line.substr(value + 2);
        }
    }
    return "CPU";
}

Backend open_cpu(const EvaluatorSettings& settings, Precision precision) {
    const cpu::InstructionSet set = cpu::choose_instruction_set(settings.isa);
    return {cpu::make_cpu_ops(
                {.instruction_set = set, .precision = precision, .threads = settings.threads}),
            fmt::format("cpu-{};isa={};onednn={};precision={};tile={};angles={}",
                        cpu::kernel_revision(set, precision), cpu::instruction_set_name(set),
                        cpu::MatrixLibrary::version(), precision_name(precision), cpu::tile_rows,
                        settings.angles),
            cpu_name()};
}

Backend open_reference(const EvaluatorSettings& settings, Precision precision) {
    return {reference::make_reference_ops(precision),
            fmt::format("reference-{};precision={};angles={}", reference::kernel_revision,
                        precision_name(precision), settings.angles),
            cpu_name()};
}

Backend open_backend(const EvaluatorSettings& settings) {
    const Precision precision = parse_precision(settings.precision);
    if (settings.threads == 0) {
        throw EvaluatorError{"threads = 0: an evaluator needs at least 1 thread"};
    }
    if (settings.backend == "auto" || settings.backend == "cpu") {
        return open_cpu(settings, precision);
    }
    if (settings.backend == "reference") return open_reference(settings, precision);
    throw EvaluatorError{
        fmt::format("backend = \"{}\" does not evaluate models: use \"auto\", \"cpu\" or "
                    "\"reference\"",
                    settings.backend)};
}

class TransformerEvaluator final : public Evaluator {
public:
    explicit TransformerEvaluator(const EvaluatorSettings& settings)
        : angles_{parse_angle_mode(settings.angles)},
          backend_{open_backend(settings)},
          model_{settings.model_path},
          documents_{settings.documents_path},
          transformer_{model_, *backend_.ops} {
        documents_.check_vocabulary(model_.config().vocabulary);
        identity_ = {.model_digest = model_.digest(),
                     .documents_digest = documents_.digest(),
                     .numerics_class = backend_.numerics_class,
                     .device_name = backend_.device_name,
                     .device_uuid = {},
                     .memory_bytes = transformer_.weight_bytes()};
    }

    const EvaluatorIdentity& identity() const override { return identity_; }

    EvaluationResult evaluate(const EvaluationRequest& request) override {
        if (request.document >= documents_.count()) {
            throw EvaluatorError{
                fmt::format("document {} was asked for, but the documents file has {} (0 to {})",
                            request.document, documents_.count(), documents_.count() - 1)};
        }
        const std::vector<std::int32_t> tokens =
            documents_.input(request.document, request.positions, request.offset);
        const std::uint64_t scored = scored_tokens(request);
        const ModelConfig& config = model_.config();
        const RotaryTable rotary{{.theta = config.rope_theta,
                                  .rotary_dim = config.rotary_dim,
                                  .factors = request.factors,
                                  .start_tokens = request.start_tokens,
                                  .attention_scale = request.attention_scale,
                                  .angles = angles_},
                                 static_cast<std::int64_t>(tokens.size())};
        EvaluationResult result;
        result.token_nll = transformer_.token_nll(tokens, rotary);
        // What stands before is context: an earlier window has scored it.
        result.token_nll.erase(result.token_nll.begin(),
                               result.token_nll.end() - static_cast<std::ptrdiff_t>(scored));
        result.scored_tokens = result.token_nll.size();
        for (const float nll : result.token_nll) result.sum_nll += double{nll};
        if (!request.per_token) result.token_nll.clear();
        return result;
    }

private:
    AngleMode angles_;
    Backend backend_;
    ModelFolder model_;
    Documents documents_;
    Transformer transformer_;
    EvaluatorIdentity identity_;
};

}  // namespace

std::unique_ptr<Evaluator> make_transformer_evaluator(const EvaluatorSettings& settings) {
    return std::make_unique<TransformerEvaluator>(settings);
}

}  // namespace longrope::evaluator
