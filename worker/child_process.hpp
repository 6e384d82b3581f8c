// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace longrope::worker {

/// A process or a descriptor that the system refuses: what was attempted and errno's text.
class WorkerError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Owns one file descriptor and closes it exactly once. Move-only.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) noexcept : fd_{fd} {}
    Descriptor(Descriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor();
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

/// The descriptor number on which a child finds its socket.
inline constexpr int child_socket = 3;

/// A child in a process group of its own, with a stream socket on descriptor 3, standard output and
/// error in one pipe, standard input empty and every other descriptor closed. Killed with its group
/// and reaped when the owner goes or when it ends.
class ChildProcess {
public:
    /// @param program    file to execute
    /// @param arguments  without the program's own name
    /// @param cores      CPUs it may run on; empty: those of this process
    /// @throws WorkerError
    ChildProcess(const std::string& program, const std::vector<std::string>& arguments,
                 const std::vector<int>& cores);
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    ~ChildProcess();

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] int socket() const noexcept { return socket_.get(); }  ///< non-blocking
    [[nodiscard]] int output() const noexcept { return output_.get(); }  ///< non-blocking

    /// Takes what the child has printed; keeps the last 4 KiB.
    void read_output();
    [[nodiscard]] const std::string& output_tail() const noexcept { return tail_; }

    /// How it ended ("exited with status 3", "was killed by signal 11 (Segmentation fault)"), if it
    /// did; then what is left of its group is killed too.
    [[nodiscard]] std::optional<std::string> ended();
    /// Kills the group and does not wait: `ended` tells when the child is gone.
    void begin_kill();
    /// Kills the group and waits for the child, some seconds at most: one that a driver holds in
    /// the kernel ends when that lets go. @returns how it ended
    std::string kill();

private:
    pid_t pid_ = -1;
    Descriptor socket_;
    Descriptor output_;
    std::string tail_;
    std::optional<std::string> ending_;
};

}  // namespace longrope::worker
