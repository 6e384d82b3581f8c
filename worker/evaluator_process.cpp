// SPDX-License-Identifier: Apache-2.0
#include "worker/evaluator_process.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "evaluator/evaluator.hpp"
#include "evaluator/synthetic/synthetic_evaluator.hpp"
#include "worker/child_process.hpp"
#include "worker/protocol/frame.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::worker {
namespace {

/// The supervisor's end of the socket is gone: nobody wants an answer.
struct ConnectionClosed {};

void send_bytes(int socket, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) throw ConnectionClosed{};
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
}

protocol::Message receive(int socket, protocol::FrameReader& reader) {
    while (true) {
        if (auto message = reader.next()) return *message;
        std::array<std::byte, 65536> piece{};
        const ssize_t got = ::recv(socket, piece.data(), piece.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) throw ConnectionClosed{};
        reader.append(std::span{piece}.first(static_cast<std::size_t>(got)));
    }
}

evaluator::EvaluatorSettings settings_of(const protocol::Setup& setup) {
    evaluator::EvaluatorSettings settings;
    settings.backend = setup.backend;
    settings.model_path = setup.model_path;
    settings.documents_path = setup.documents_path;
    settings.precision = setup.precision;
    settings.isa = setup.isa;
    settings.angles = setup.angles;
    settings.weights = setup.weights;
    settings.threads = setup.threads;
    settings.node_rank = setup.node_rank;
    settings.longest_positions = setup.longest_positions;
    settings.device_uuid = setup.device_uuid;
    settings.synthetic.dimensions = setup.synthetic.dimensions;
    settings.synthetic.theta = setup.synthetic.theta;
    settings.synthetic.original_window = setup.synthetic.original_window;
    settings.synthetic.documents = setup.synthetic.documents;
    settings.synthetic.duration_ms = setup.synthetic.duration_ms;
    settings.synthetic.duration_spread = setup.synthetic.duration_spread;
    settings.synthetic.fault = setup.synthetic.fault;
    settings.synthetic.fault_every = setup.synthetic.fault_every;
    settings.synthetic.poison_every = setup.synthetic.poison_every;
    return settings;
}

protocol::Hello hello_of(const evaluator::EvaluatorIdentity& identity, std::uint32_t setup,
                         const std::string& build) {
    protocol::Hello hello;
    hello.setup = setup;
    hello.model_digest = identity.model_digest;
    hello.documents_digest = identity.documents_digest;
    hello.numerics_class = identity.numerics_class;
    hello.device_name = identity.device_name;
    hello.device_uuid = identity.device_uuid;
    hello.memory_bytes = identity.memory_bytes;
    hello.note = identity.note;
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    hello.host = host.data();
    hello.build = build;
    hello.pid = ::getpid();
    return hello;
}

void send_token_scores(int socket, const protocol::Task& task, const std::vector<float>& nll) {
    for (std::size_t at = 0; at < nll.size(); at += protocol::max_token_scores) {
        const std::size_t end = std::min(nll.size(), at + protocol::max_token_scores);
        protocol::TokenScores part{task.id, task.attempt, at, {}};
        part.nll.assign(nll.begin() + static_cast<std::ptrdiff_t>(at),
                        nll.begin() + static_cast<std::ptrdiff_t>(end));
        send_bytes(socket, protocol::encode(part));
    }
}

void answer(int socket, evaluator::Evaluator& evaluator, protocol::Task task) {
    const auto begin = std::chrono::steady_clock::now();
    evaluator::EvaluationRequest request;
    request.factors = std::move(task.factors);
    request.start_tokens = task.start_tokens;
    request.attention_scale = task.attention_scale;
    request.positions = task.positions;
    request.document = task.document;
    request.per_token = task.per_token;
    request.offset = task.offset;
    request.scored = task.scored;
    try {
        const evaluator::EvaluationResult result = evaluator.evaluate(request);
        send_token_scores(socket, task, result.token_nll);
        protocol::Result message{task.id, task.attempt, result.sum_nll, result.scored_tokens, 0.0};
        message.seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        send_bytes(socket, protocol::encode(message));
    } catch (const evaluator::SyntheticGarbage&) {
        constexpr std::string_view garbage = "these bytes are not a frame of the protocol";
        send_bytes(socket, std::as_bytes(std::span{garbage}));
    } catch (const evaluator::EvaluatorError& error) {
        protocol::Fault fault;
        fault.id = task.id;
        fault.attempt = task.attempt;
        fault.reason = error.what();
        send_bytes(socket, protocol::encode(fault));
    }
}

void serve(int socket, const std::string& build) {
    protocol::FrameReader reader;
    const protocol::Message first = receive(socket, reader);
    const auto* setup = std::get_if<protocol::Setup>(&first);
    if (!setup) throw protocol::ProtocolError{"the first message was not a setup"};
    std::unique_ptr<evaluator::Evaluator> evaluator;
    try {
        evaluator = evaluator::make_evaluator(settings_of(*setup));
    } catch (const evaluator::EvaluatorError& error) {
        protocol::Fault fault;
        fault.at_start = true;
        fault.may_pass = dynamic_cast<const evaluator::DeviceBusy*>(&error) != nullptr;
        fault.reason = error.what();
        send_bytes(socket, protocol::encode(fault));
        throw;
    }
    send_bytes(socket, protocol::encode(hello_of(evaluator->identity(), setup->number, build)));
    while (true) {
        protocol::Message message = receive(socket, reader);
        auto* task = std::get_if<protocol::Task>(&message);
        if (!task) throw protocol::ProtocolError{"a message that is not a task"};
        answer(socket, *evaluator, std::move(*task));
    }
}

void leave_job_signals_to_the_supervisor() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGCONT, SIGPIPE}) {
        ::sigaction(signal, &ignore, nullptr);
    }
}

/// For the supervisor, which quotes what this process printed. @returns the exit status
int last_words(std::string_view words) {
    for (const std::string_view part : {std::string_view{"evaluator process: "}, words,
                                        std::string_view{"\n"}}) {  // allocates nothing
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, part.data(), part.size());
    }
    return 5;
}

}  // namespace

int run_evaluator_process(int socket, pid_t supervisor, const std::string& build) {
    const Descriptor owner{socket};
    leave_job_signals_to_the_supervisor();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != supervisor) return 1;  // it died before the line above
    try {
        serve(socket, build);
    } catch (const ConnectionClosed&) {
        return 0;
    } catch (const std::bad_alloc&) {
        return last_words(
            "out of memory. Run fewer evaluators on this host, give the job more memory or, on a "
            "CPU, set evaluator.weights = \"streamed\": longrope search --check says what an "
            "evaluator needs");
    } catch (const std::exception& error) {
        return last_words(error.what());
    }
    return 0;
}

}  // namespace longrope::worker
