// SPDX-License-Identifier: Apache-2.0
#include "coordinator/file_descriptor.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

void throw_errno(const std::string& action) {
    const int number = errno;
    throw HistoryWriteError{fmt::format("cannot {}: {} (errno {})", action,
                                        std::generic_category().message(number), number)};
}

FileDescriptor::FileDescriptor(int descriptor, const std::string& action)
    : descriptor_{descriptor} {
    if (descriptor_ < 0) throw_errno(action);
}

FileDescriptor::~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void FileDescriptor::write_all(std::span<const std::byte> content,
                               const std::string& action) const {
    while (!content.empty()) {
        const ssize_t written = ::write(descriptor_, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw_errno(action);
        content = content.subspan(static_cast<std::size_t>(written));
    }
}

void FileDescriptor::close(const std::string& action) {
    if (::close(std::exchange(descriptor_, -1)) != 0) throw_errno(action);
}

}  // namespace longrope::coordinator
