// SPDX-License-Identifier: Apache-2.0
#include "worker/mpi_session.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "worker/alarmed_exit.hpp"
#include "worker/child_process.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::worker {
namespace {

constexpr int tag = 1;
constexpr std::chrono::minutes start_patience{5};
constexpr std::chrono::seconds finalize_patience{20};

std::string error_text(int code, const char* call) {
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    return fmt::format("{}: {}", call, text.data());
}

void check(int code, const char* call) {
    if (code != MPI_SUCCESS) throw WorkerError{error_text(code, call)};
}

/// The number of this process's PID namespace; 0 if it cannot be told.
std::int64_t pid_namespace() {
    struct stat status {};
    return ::stat("/proc/self/ns/pid", &status) == 0 ? static_cast<std::int64_t>(status.st_ino) : 0;
}

}  // namespace

bool started_by_mpi_launcher() {
    for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
        if (std::getenv(variable)) return true;
    }
    return false;
}

MpiSession::MpiSession(int* argc, char*** argv) {
    // A rank that dies now is waited for without end, and nobody is told.
    const AlarmedExit limit{start_patience, 1,
                            "longrope: MPI did not start within 5 minutes, perhaps because a rank "
                            "has died: start again\n"};
    int provided = 0;
    check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    MPI_Comm node = MPI_COMM_NULL;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node),
          "MPI_Comm_split_type");
    check(MPI_Comm_rank(node, &node_rank_), "MPI_Comm_rank");
    int node_size = 0;
    check(MPI_Comm_size(node, &node_size), "MPI_Comm_size");
    exchange_processes(node, node_size);
    share_cores(node, node_size);
    check(MPI_Comm_free(&node), "MPI_Comm_free");
}

void MpiSession::share_cores(MPI_Comm node, int ranks) {
    const CoreSet own = CoreSet::of();
    constexpr auto bytes = static_cast<int>(sizeof own);
    std::vector<CoreSet> all(static_cast<std::size_t>(ranks));
    check(MPI_Allgather(&own, bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, node), "MPI_Allgather");
    core_share_ = worker::core_share(all, static_cast<std::size_t>(node_rank_));
}

void MpiSession::exchange_processes(MPI_Comm node, int ranks) {
    const auto process_namespace = pid_namespace();
    const std::array<std::int64_t, 3> own{rank_, ::getpid(), process_namespace};
    std::vector<std::array<std::int64_t, 3>> all(static_cast<std::size_t>(ranks));
    check(MPI_Allgather(own.data(), 3, MPI_INT64_T, all.data(), 3, MPI_INT64_T, node),
          "MPI_Allgather");
    for (const auto& [rank, pid, in_namespace] : all) {
        if (in_namespace != process_namespace || process_namespace == 0) continue;
        processes_.emplace(static_cast<int>(rank), static_cast<pid_t>(pid));
    }
}

std::optional<pid_t> MpiSession::process_of(int rank) const {
    const auto found = processes_.find(rank);
    if (found == processes_.end()) return std::nullopt;
    return found->second;
}

void MpiSession::finalize(int status) {
    const AlarmedExit limit{finalize_patience, status};
    MPI_Finalize();
}

std::optional<Received> receive_arrived() {
    int arrived = 0;
    MPI_Status status;
    check(MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &arrived, &status), "MPI_Iprobe");
    if (!arrived) return std::nullopt;
    int count = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
    Received received{status.MPI_SOURCE, std::vector<std::byte>(static_cast<std::size_t>(count))};
    check(MPI_Recv(received.frame.data(), count, MPI_BYTE, received.source, tag, MPI_COMM_WORLD,
                   MPI_STATUS_IGNORE),
          "MPI_Recv");
    return received;
}

Outbox::Outbox(Outbox&& other) noexcept
    : destination_{other.destination_},
      failure_{std::move(other.failure_)},
      abandoned_{other.abandoned_},
      sending_{std::exchange(other.sending_, false)},
      request_{std::exchange(other.request_, MPI_REQUEST_NULL)},
      in_flight_{std::move(other.in_flight_)},
      queue_{std::move(other.queue_)} {}

Outbox::~Outbox() {
    // MPI may still read the buffer of an unfinished send; it is given up rather than freed.
    if (sending_) static_cast<void>(in_flight_.release());
}

void Outbox::push(std::vector<std::byte> frame) {
    if (abandoned_) return;
    if (frame.size() > protocol::max_rank_frame) {
        throw WorkerError{
            fmt::format("a message of {} bytes to rank {}; at most {} travel eagerly "
                        "(are the paths of model or documents very long?)",
                        frame.size(), destination_, protocol::max_rank_frame)};
    }
    queue_.push_back(std::move(frame));
    progress();
}

void Outbox::progress() {
    if (abandoned_) return;
    if (sending_) {
        int complete = 0;
        const int code = MPI_Test(&request_, &complete, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) return fail("MPI_Test", code);
        if (!complete) return;
        sending_ = false;
    }
    if (queue_.empty()) return;
    in_flight_ = std::make_unique<std::vector<std::byte>>(std::move(queue_.front()));
    queue_.erase(queue_.begin());
    sending_ = true;
    const int code = MPI_Isend(in_flight_->data(), static_cast<int>(in_flight_->size()), MPI_BYTE,
                               destination_, tag, MPI_COMM_WORLD, &request_);
    if (code != MPI_SUCCESS) fail("MPI_Isend", code);
}

void Outbox::fail(const char* call, int code) {
    failure_ = error_text(code, call);
    abandon();
}

void Outbox::abandon() {
    abandoned_ = true;
    queue_.clear();
}

}  // namespace longrope::worker
