// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "evaluator/synthetic/synthetic_settings.hpp"

namespace longrope::evaluator {

/// A model, a document file or a device that cannot be used: what was read, where, what was found,
/// what would be accepted.
class EvaluatorError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The device cannot be had while others hold it; in a while it may.
class DeviceBusy : public EvaluatorError {
public:
    using EvaluatorError::EvaluatorError;
};

/// What one evaluator works with for its whole life.
struct EvaluatorSettings {
    std::string backend = "auto";      ///< auto, cuda, cpu, reference, synthetic
    std::string model_path{};          ///< Hugging Face folder; of synthetic: its variant, if any
    std::string documents_path{};      ///< HDF5 documents file; unused by synthetic
    std::string precision = "f32";     ///< f32 or bf16: stored weights are widened or rounded to it
    std::string isa = "auto";          ///< auto, baseline, avx2, avx512: pins kernels and oneDNN
    std::string angles = "double";     ///< double, or float32 for parity with Hugging Face
    std::string weights = "resident";  ///< resident or streamed (WeightResidency); of CPUs alone
    std::uint32_t threads = 1;         ///< threads of this evaluator, at least 1
    std::uint32_t node_rank = 0;       ///< which GPU: the rank's index among those of its node
    std::string device_uuid{};         ///< GPU that must be taken; empty: that of node_rank
    std::uint64_t longest_positions = 0;  ///< L' of the longest request; 0: the longest document
    SyntheticSettings synthetic{};        ///< read by the synthetic backend only
};

/// One factor vector on one document, or on a window of it: `offset` and `scored` are those of a
/// sliding window, whose leading tokens are context that an earlier window has scored.
struct EvaluationRequest {
    std::vector<double> factors{};   ///< lambda, shape [rotary_dim / 2]; each divides its frequency
    std::uint32_t start_tokens = 0;  ///< n-hat: positions below it keep the original angles
    double attention_scale = 1.0;    ///< m: multiplies cos and sin (algorithm A4)
    std::uint64_t positions = 0;     ///< L': positions fed, BOS included; L'-1 tokens are scored
    std::uint32_t document = 0;      ///< index in the documents file
    bool per_token = false;          ///< also return the negative log-likelihood of each token
    std::uint64_t offset = 0;        ///< tokens of the document left out before those fed
    std::uint64_t scored = 0;        ///< how many of the last positions count; 0: all but the first
};

struct EvaluationResult {
    double sum_nll = 0.0;  ///< nats, summed over scored tokens, each clamped at 0; may be
                           ///< NaN or infinite: that is a result, not an error
    std::uint64_t scored_tokens = 0;
    std::vector<float> token_nll;  ///< shape [scored_tokens] if per_token, else empty
};

/// Who computes: stored with the history and compared on resume.
struct EvaluatorIdentity {
    std::string model_digest;      ///< hexadecimal SHA-256 over headers and sampled blocks
    std::string documents_digest;  ///< hexadecimal SHA-256 of the documents' tokens and offsets
    std::string numerics_class;    ///< backend and revision, instruction set, libraries, precision
    std::string device_name;
    std::string device_uuid;         ///< empty for CPUs
    std::uint64_t memory_bytes = 0;  ///< held by weights between two documents
    std::string note;  ///< why "auto" took no GPU, or who else has memory on it; empty: nothing
};

/// How many tokens a request scores.
/// @throws EvaluatorError if more are asked for than have a token before them
[[nodiscard]] std::uint64_t scored_tokens(const EvaluationRequest& request);

/// Computes negative log-likelihoods. One per evaluator process; not thread-safe.
class Evaluator {
public:
    Evaluator() = default;
    Evaluator(const Evaluator&) = delete;
    Evaluator& operator=(const Evaluator&) = delete;
    virtual ~Evaluator() = default;

    [[nodiscard]] virtual const EvaluatorIdentity& identity() const = 0;
    /// @throws EvaluatorError if the request does not fit the model or the documents
    [[nodiscard]] virtual EvaluationResult evaluate(const EvaluationRequest& request) = 0;
};

/// Loads model and documents and prepares the backend.
/// @throws EvaluatorError naming the file, tensor, setting or device that cannot be used
[[nodiscard]] std::unique_ptr<Evaluator> make_evaluator(const EvaluatorSettings& settings);

}  // namespace longrope::evaluator
