// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace longrope::protocol {

/// Bytes that are not a message of this protocol: what was expected and what was found.
class ProtocolError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Raised when a message changes its meaning; evaluator, worker and coordinator must agree on it.
inline constexpr std::uint16_t protocol_version = 5;

/// The synthetic landscape and its programmed faults, as in the configuration.
struct SyntheticSetup {
    std::uint32_t dimensions = 16;
    double theta = 10000.0;
    std::uint32_t original_window = 256;
    std::uint32_t documents = 8;
    double duration_ms = 0.0;
    double duration_spread = 0.0;
    std::string fault = "none";
    std::uint32_t fault_every = 0;
    std::uint32_t poison_every = 0;
    friend bool operator==(const SyntheticSetup&, const SyntheticSetup&) = default;
};

/// Coordinator to every rank: what to evaluate with. A further one replaces the evaluator process
/// and drops the tasks that the rank still has.
struct Setup {
    std::uint32_t number = 0;  ///< counts the setups of a job; Hello and Fault at start repeat it
    std::string backend, model_path, documents_path, precision, isa, angles;
    std::string weights = "resident";
    std::uint32_t threads = 0;              ///< per evaluator; 0: cores of the node / ranks on it
    double start_deadline_seconds = 600.0;  ///< an evaluator must say Hello within it
    double watchdog_seconds = 300.0;        ///< a rank without word from the coordinator ends
    SyntheticSetup synthetic;
    std::uint32_t node_rank = 0;          ///< of the rank among those of its node; set by the rank
    std::uint64_t longest_positions = 0;  ///< L' of the longest task; 0: of the longest document
    std::string device_uuid{};  ///< GPU that the rank has computed on, if it has; set by the rank
    friend bool operator==(const Setup&, const Setup&) = default;
};

/// Evaluator process to coordinator, after loading: who computes, on what.
struct Hello {
    std::uint32_t setup = 0;  ///< number of the setup that it was started with
    std::string model_digest, documents_digest, numerics_class;
    std::string device_name, device_uuid, host, build;
    std::int64_t pid = 0;  ///< of the evaluator process
    std::uint64_t memory_bytes = 0;
    std::string note;  ///< for the log: what was not taken and why, who else is on the device
    friend bool operator==(const Hello&, const Hello&) = default;
};

/// Coordinator to worker: score one factor vector on one document.
struct Task {
    std::uint64_t id = 0;
    std::uint32_t attempt = 0;
    std::vector<double> factors;  ///< lambda, shape [rotary_dim / 2]
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
    std::uint64_t positions = 0;    ///< L', BOS included
    std::uint32_t document = 0;     ///< index in the documents file
    double deadline_seconds = 0.0;  ///< after it the evaluator counts as hanging
    bool per_token = false;         ///< TokenScores precede the Result
    std::uint64_t offset = 0;       ///< tokens of the document left out before those fed
    std::uint64_t scored = 0;       ///< how many of the last positions count; 0: all but the first
    friend bool operator==(const Task&, const Task&) = default;
};

/// Worker to coordinator: part of the negative log-likelihoods per token of a task.
struct TokenScores {
    std::uint64_t id = 0;
    std::uint32_t attempt = 0;
    std::uint64_t offset = 0;  ///< scored token of nll[0]
    std::vector<float> nll;    ///< nats, at most max_token_scores
    friend bool operator==(const TokenScores&, const TokenScores&) = default;
};

/// Worker to coordinator: a task is done; sum_nll may be NaN or infinite.
struct Result {
    std::uint64_t id = 0;
    std::uint32_t attempt = 0;
    double sum_nll = 0.0;  ///< nats
    std::uint64_t scored_tokens = 0;
    double seconds = 0.0;  ///< of the evaluation
    friend bool operator==(const Result&, const Result&) = default;
};

/// Worker to coordinator: the evaluator process failed, on a task or before its Hello.
struct Fault {
    std::uint64_t id = 0;
    std::uint32_t attempt = 0;
    bool at_start = false;  ///< no task was running: id and attempt say nothing
    bool given_up = false;  ///< the worker starts no further evaluator
    std::string reason;
    std::uint32_t setup = 0;  ///< number of the setup that the evaluator was started with
    bool hung = false;        ///< the task had passed its deadline
    bool may_pass = false;    ///< at start: the evaluator could not, for now
    friend bool operator==(const Fault&, const Fault&) = default;
};

/// Either way: I am alive.
struct Ping {
    friend bool operator==(const Ping&, const Ping&) = default;
};

/// Coordinator to worker: end.
struct Stop {
    bool finalize = true;  ///< no rank died: leave through MPI_Finalize
    friend bool operator==(const Stop&, const Stop&) = default;
};

/// Coordinator to worker: end the evaluator, so that its device and memory are free, and start no
/// further one; the rank stays in the job.
struct Retire {
    friend bool operator==(const Retire&, const Retire&) = default;
};

/// Worker to coordinator: this rank ends.
struct Leave {
    std::string reason;
    friend bool operator==(const Leave&, const Leave&) = default;
};

using Message =
    std::variant<Setup, Hello, Task, TokenScores, Result, Fault, Ping, Stop, Retire, Leave>;

/// Largest frame that travels between ranks: Open MPI sends it eagerly, so that a receive never
/// waits for a sender that died.
inline constexpr std::size_t max_rank_frame = 4000;
inline constexpr std::size_t max_token_scores = 900;  ///< keeps TokenScores within it
inline constexpr std::size_t max_factors = 448;       ///< keeps Task within it
inline constexpr std::size_t max_reason = 2000;       ///< keeps Fault, Leave within; longer are cut
inline constexpr std::size_t max_note = 1000;         ///< keeps Hello within it; longer are cut

/// A frame: header (magic, version, type, length) and body, little-endian.
[[nodiscard]] std::vector<std::byte> encode(const Message& message);

/// @param frame  exactly one frame
/// @throws ProtocolError saying which field of which message is wrong
[[nodiscard]] Message decode(std::span<const std::byte> frame);

}  // namespace longrope::protocol
