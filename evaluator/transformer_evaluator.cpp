// SPDX-License-Identifier: Apache-2.0
#include "evaluator/transformer_evaluator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <utility>

#include "evaluator/cpu/cpu_ops.hpp"
#include "evaluator/cpu/matrix_product.hpp"
#include "evaluator/cuda/backend_choice.hpp"
#include "evaluator/cuda/device_holders.hpp"
#include "evaluator/cuda/module_loader.hpp"
#include "evaluator/documents.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/precision.hpp"
#include "evaluator/reference/reference_ops.hpp"
#include "evaluator/rotary_table.hpp"
#include "evaluator/transformer.hpp"
#include "evaluator/weight_residency.hpp"

namespace longrope::evaluator {
namespace {

/// A backend ready for use and how results of its kind are named.
struct Backend {
    std::unique_ptr<DeviceOps> ops;
    std::string numerics_class;
    std::string device_name;
    std::string device_uuid{};                              ///< empty for CPUs
    WeightResidency residency = WeightResidency::resident;  ///< of the transformer
    std::string note{};                                     ///< for the log
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
    const WeightResidency residency = parse_weight_residency(settings.weights);
    return {
        .ops = cpu::make_cpu_ops(
            {.instruction_set = set, .precision = precision, .threads = settings.threads}),
        .numerics_class = fmt::format("cpu-{};isa={};onednn={};precision={};tile={};angles={}",
                                      cpu::kernel_revision(set, precision),
                                      cpu::instruction_set_name(set), cpu::MatrixLibrary::version(),
                                      precision_name(precision), cpu::tile_rows, settings.angles),
        .device_name = cpu_name(),
        .residency = residency};
}

Backend open_reference(const EvaluatorSettings& settings, Precision precision) {
    return {.ops = reference::make_reference_ops(precision),
            .numerics_class =
                fmt::format("reference-{};precision={};angles={}", reference::kernel_revision,
                            precision_name(precision), settings.angles),
            .device_name = cpu_name(),
            .residency = parse_weight_residency(settings.weights)};
}

/// Positions of the longest document that will be evaluated.
std::uint64_t longest_of(const EvaluatorSettings& settings, const Documents& documents) {
    if (settings.longest_positions != 0) return settings.longest_positions;
    std::uint64_t longest = 0;
    for (std::uint32_t i = 0; i < documents.count(); ++i) {
        longest = std::max(longest, documents.positions(i));
    }
    return longest;
}

/// The GPUs that a job is given; empty where none are, or it is not said.
std::string visible_devices() {
    const char* const given = std::getenv("CUDA_VISIBLE_DEVICES");
    const std::string names = given == nullptr ? "" : given;
    const bool none = names.empty() || names.starts_with('-') || names == "NoDevFiles";
    return none ? "" : names;
}

std::string cpu_note(const std::string& reason) {
    return fmt::format("the CPU computes, since the GPU cannot: {}", reason);
}

/// The GPU, or with `backend = "auto"` nothing and a note where there is none that can be taken.
std::optional<Backend> open_gpu(const EvaluatorSettings& settings, const ModelFolder& model,
                                const Documents& documents, std::string& note) {
    cuda::ProbeResult probe;
    if (settings.backend == "auto" && settings.precision != "bf16") {
        // No GPU computes in f32; without one there is nothing to tell.
        for (const cuda::ManagedDevice& device : cuda::list_managed_devices().devices) {
            probe.devices.push_back({.name = device.name});
        }
        if (!probe.devices.empty()) {
            note = cpu_note(cuda::choose_backend(probe, settings.precision, 0).reason);
        }
        return std::nullopt;
    }
    const cuda::LoadedModule loaded = cuda::load_backend();
    cuda::BackendChoice choice{.reason = loaded.reason};
    if (loaded.module != nullptr) {
        probe = loaded.module->probe();
        choice = cuda::choose_backend(probe, settings.precision, settings.node_rank,
                                      settings.device_uuid);
    }
    if (!choice.gpu) {
        if (!settings.device_uuid.empty()) {
            throw EvaluatorError{
                fmt::format("the GPU that this rank computed on is gone: {}", choice.reason)};
        }
        if (settings.backend == "cuda") {
            throw EvaluatorError{
                fmt::format("evaluator.backend = \"cuda\", but the GPU cannot compute: {}. "
                            "backend = \"auto\" or \"cpu\" takes the CPU; longrope devices says "
                            "more",
                            choice.reason)};
        }
        const std::string given = visible_devices();
        if (!given.empty()) {
            throw EvaluatorError{fmt::format(
                "this job has GPUs (CUDA_VISIBLE_DEVICES={}), but none can compute: {}. "
                "evaluator.backend = \"cpu\" takes the CPU all the same; longrope "
                "devices says more",
                given, choice.reason)};
        }
        note = cpu_note(choice.reason);
        return std::nullopt;
    }
    const std::string uuid = probe.devices[static_cast<std::size_t>(choice.device)].uuid;
    const std::string strangers = cuda::describe_strangers_on(uuid);
    const std::string leftover = strangers.empty() ? "" : fmt::format("{}: {}", uuid, strangers);
    try {
        cuda::OpenedDevice opened =
            loaded.module->open({.device = choice.device,
                                 .model = model.config(),
                                 .longest = longest_of(settings, documents)});
        return Backend{
            .ops = std::move(opened.ops),
            .numerics_class = fmt::format("{};angles={}", opened.numerics, settings.angles),
            .device_name = opened.facts.name,
            .device_uuid = opened.facts.uuid,
            .note = leftover};
    } catch (const EvaluatorError& error) {
        if (leftover.empty()) throw;
        throw DeviceBusy{fmt::format("{} ({})", error.what(), leftover)};
    }
}

Backend open_backend(const EvaluatorSettings& settings, const ModelFolder& model,
                     const Documents& documents) {
    const Precision precision = parse_precision(settings.precision);
    if (settings.threads == 0) {
        throw EvaluatorError{"threads = 0: an evaluator needs at least 1 thread"};
    }
    if (settings.backend == "auto" || settings.backend == "cuda") {
        std::string note;
        if (auto gpu = open_gpu(settings, model, documents, note)) return std::move(*gpu);
        try {
            Backend backend = open_cpu(settings, precision);
            backend.note = note;
            return backend;
        } catch (const EvaluatorError& error) {
            if (note.empty()) throw;
            throw EvaluatorError{fmt::format("{} ({})", error.what(), note)};
        }
    }
    if (settings.backend == "cpu") return open_cpu(settings, precision);
    if (settings.backend == "reference") return open_reference(settings, precision);
    throw EvaluatorError{
        fmt::format("backend = \"{}\" does not evaluate models: use \"auto\", \"cuda\", \"cpu\" or "
                    "\"reference\"",
                    settings.backend)};
}

class TransformerEvaluator final : public Evaluator {
public:
    explicit TransformerEvaluator(const EvaluatorSettings& settings)
        : angles_{parse_angle_mode(settings.angles)},
          threads_{settings.threads},
          model_{settings.model_path},
          documents_{settings.documents_path},
          backend_{open_backend(settings, model_, documents_)},
          transformer_{model_, *backend_.ops, backend_.residency} {
        documents_.check_vocabulary(model_.config().vocabulary);
        identity_ = {.model_digest = model_.digest(),
                     .documents_digest = documents_.digest(),
                     .numerics_class = backend_.numerics_class,
                     .device_name = backend_.device_name,
                     .device_uuid = backend_.device_uuid,
                     .memory_bytes = transformer_.weight_bytes(),
                     .note = backend_.note};
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
                                 static_cast<std::int64_t>(tokens.size()),
                                 threads_};
        EvaluationResult result;
        result.token_nll = transformer_.token_nll(tokens, rotary);
        model_.check_unchanged();
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
    std::uint32_t threads_;
    ModelFolder model_;
    Documents documents_;
    Backend backend_;
    Transformer transformer_;
    EvaluatorIdentity identity_;
};

}  // namespace

std::unique_ptr<Evaluator> make_transformer_evaluator(const EvaluatorSettings& settings) {
    return std::make_unique<TransformerEvaluator>(settings);
}

}  // namespace longrope::evaluator
