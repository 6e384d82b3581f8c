// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "worker/core_set.hpp"

namespace longrope::worker {

/// Whether this process was started by an MPI launcher. Without one MPI is never initialised.
[[nodiscard]] bool started_by_mpi_launcher();

/// MPI from initialisation to the end of this rank, and this rank's place in the job.
class MpiSession {
public:
    MpiSession(int* argc, char*** argv);
    MpiSession(const MpiSession&) = delete;
    MpiSession& operator=(const MpiSession&) = delete;
    ~MpiSession() = default;  ///< leaves MPI alone: see finalize()

    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] int node_rank() const noexcept { return node_rank_; }  ///< among the node's ranks
    /// Of the node's cores, as its ranks were given them when they began.
    [[nodiscard]] const CoreShare& core_share() const noexcept { return core_share_; }

    /// Where that rank runs in this rank's PID namespace, so that its end can be watched; nothing
    /// for ranks of other nodes and in other namespaces (containers).
    [[nodiscard]] std::optional<pid_t> process_of(int rank) const;

    /// MPI_Finalize, which hangs if a rank has died: ends the process with `status` after a while.
    void finalize(int status);

private:
    void exchange_processes(MPI_Comm node, int ranks);
    void share_cores(MPI_Comm node, int ranks);

    int rank_ = 0;
    int size_ = 1;
    int node_rank_ = 0;
    CoreShare core_share_;
    std::map<int, pid_t> processes_;  ///< by rank
};

/// A message that has arrived: at most protocol::max_rank_frame bytes, so that it came eagerly and
/// the receive cannot wait for a sender that died.
struct Received {
    int source = 0;
    std::vector<std::byte> frame;
};

/// The next message that has arrived, without waiting.
[[nodiscard]] std::optional<Received> receive_arrived();

/// Sends to one rank without ever waiting: one MPI_Isend at a time, the rest queued. A buffer lives
/// until its send is complete, or for ever if the other rank is dead.
class Outbox {
public:
    explicit Outbox(int destination) : destination_{destination} {}
    Outbox(const Outbox&) = delete;
    Outbox& operator=(const Outbox&) = delete;
    Outbox(Outbox&& other) noexcept;
    Outbox& operator=(Outbox&&) = delete;
    ~Outbox();

    void push(std::vector<std::byte> frame);
    /// Starts the next send if the last one is complete. Call it often.
    void progress();
    [[nodiscard]] bool empty() const noexcept {
        return abandoned_ || (!sending_ && queue_.empty());
    }
    /// Why nothing can be sent any more; empty while it can. Some networks (UCX) say so of a rank
    /// that died; over others a send to it is just never complete.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    /// The other rank is dead: its request is never touched again.
    void abandon();

private:
    void fail(const char* call, int code);

    int destination_;
    std::string failure_;
    bool abandoned_ = false;
    bool sending_ = false;
    MPI_Request request_ = MPI_REQUEST_NULL;
    std::unique_ptr<std::vector<std::byte>> in_flight_;  ///< outlives us if still being sent
    std::vector<std::vector<std::byte>> queue_;
};

}  // namespace longrope::worker
