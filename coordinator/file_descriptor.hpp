// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace longrope::coordinator {

/// @throws HistoryWriteError "cannot <action>: <text of errno> (errno <number>)"; the action names the
///         path
[[noreturn]] void throw_errno(const std::string& action);

/// Owns one file descriptor and closes it exactly once.
class FileDescriptor {
public:
    /// @throws HistoryWriteError (see throw_errno) if `descriptor` is the -1 of a failed call
    FileDescriptor(int descriptor, const std::string& action);
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    ~FileDescriptor();

    [[nodiscard]] int get() const noexcept { return descriptor_; }

    /// Writes all of `content`. @throws HistoryWriteError (errno and action)
    void write_all(std::span<const std::byte> content, const std::string& action) const;
    /// Closes now: network file systems report a failed write here at the latest.
    /// @throws HistoryWriteError (errno and action)
    void close(const std::string& action);

private:
    int descriptor_;
};

}  // namespace longrope::coordinator
