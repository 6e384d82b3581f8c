// SPDX-License-Identifier: Apache-2.0
#include "worker/process_watch.hpp"

#include <poll.h>
#include <unistd.h>

extern "C" {  // glibc before 2.37 forgot to say so
#include <sys/pidfd.h>
}

#include <utility>

namespace longrope::worker {

std::optional<ProcessWatch> ProcessWatch::of(pid_t pid) {
    const int descriptor = ::pidfd_open(pid, 0);  // closed on exec, always
    if (descriptor < 0) return std::nullopt;
    return ProcessWatch{pid, descriptor};
}

ProcessWatch::ProcessWatch(ProcessWatch&& other) noexcept
    : pid_{other.pid_}, descriptor_{std::exchange(other.descriptor_, -1)} {}

ProcessWatch& ProcessWatch::operator=(ProcessWatch&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

ProcessWatch::~ProcessWatch() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

bool ProcessWatch::ended() const {
    pollfd ready{descriptor_, POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0;
}

}  // namespace longrope::worker
