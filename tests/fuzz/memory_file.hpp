// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace longrope::fuzz {

/// A file without a disk, for readers that take a path.
class MemoryFile {
public:
    MemoryFile() : descriptor_{::memfd_create("fuzz", MFD_CLOEXEC)} {
        if (descriptor_ < 0) throw std::runtime_error{"memfd_create failed"};
        path_ = "/proc/self/fd/" + std::to_string(descriptor_);
    }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    ~MemoryFile() { ::close(descriptor_); }

    /// Replaces what is in it.
    void write(const std::uint8_t* data, std::size_t size) const {
        if (::ftruncate(descriptor_, 0) != 0 ||
            ::pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size)) {
            throw std::runtime_error{"cannot write a file in memory"};
        }
    }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    int descriptor_;
    std::filesystem::path path_;
};

}  // namespace longrope::fuzz
