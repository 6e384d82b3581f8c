// SPDX-License-Identifier: Apache-2.0
#include "coordinator/atomic_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "coordinator/file_descriptor.hpp"
#include "coordinator/history.hpp"

namespace longrope::coordinator {

namespace {

/// Removes a file that was not released.
class TemporaryFile {
public:
    explicit TemporaryFile(std::filesystem::path path) : path_{std::move(path)} {}
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }
    void release() noexcept { path_.clear(); }

private:
    std::filesystem::path path_;
};

/// Host and process: two coordinators of a shared folder never write the same temporary.
std::string temporary_suffix() {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) throw_errno("read the host name");
    return fmt::format(".{}.{}.tmp", host.data(), ::getpid());
}

/// Whether `name` is "search.h5.<host>.<pid>.tmp" or "lock.<host>.<pid>.tmp": what the lock guards.
bool is_temporary(std::string_view name) {
    constexpr std::string_view ending = ".tmp";
    if (!name.ends_with(ending)) return false;
    name.remove_suffix(ending.size());
    constexpr std::string_view history = "search.h5.";
    constexpr std::string_view lock = "lock.";
    if (!name.starts_with(history) && !name.starts_with(lock)) return false;
    name.remove_prefix(name.starts_with(history) ? history.size() : lock.size());
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0) return false;
    const std::string_view pid = name.substr(dot + 1);
    return !pid.empty() && pid.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Writes and closes a file just opened; on return its content is on the disk.
void fill(FileDescriptor& descriptor, const std::filesystem::path& file,
          std::span<const std::byte> content) {
    descriptor.write_all(content, fmt::format("write {}", file.string()));
    if (::fsync(descriptor.get()) != 0) throw_errno(fmt::format("fsync {}", file.string()));
    descriptor.close(fmt::format("close {}", file.string()));
}

constexpr int new_file = O_WRONLY | O_CREAT | O_CLOEXEC;

FileDescriptor open_temporary(const std::filesystem::path& temporary) {
    return {::open(temporary.c_str(), new_file | O_TRUNC, 0666),
            fmt::format("create {}", temporary.string())};
}

/// @returns false if there is such a file
bool create_in_place(const std::filesystem::path& file, std::span<const std::byte> content) {
    const int opened = ::open(file.c_str(), new_file | O_EXCL, 0666);
    if (opened < 0 && errno == EEXIST) return false;
    FileDescriptor descriptor{opened, fmt::format("create {}", file.string())};
    TemporaryFile removed_on_failure{file};
    fill(descriptor, file, content);
    removed_on_failure.release();
    return true;
}

/// Whether it has a second name: a network file system may report a link that it made as failed,
/// when the answer was lost and the question repeated.
bool is_linked(const std::filesystem::path& file) {
    struct stat status {};
    return ::stat(file.c_str(), &status) == 0 && status.st_nlink == 2;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> content,
                           const std::function<void()>& before_rename) {
    const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
    const std::filesystem::path temporary = file.string() + temporary_suffix();
    FileDescriptor descriptor = open_temporary(temporary);
    TemporaryFile removed_on_failure{temporary};
    fill(descriptor, temporary, content);

    if (before_rename) before_rename();
    if (::rename(temporary.c_str(), file.c_str()) != 0) {
        throw_errno(fmt::format("rename {} to {}", temporary.string(), file.string()));
    }
    removed_on_failure.release();

    const FileDescriptor directory{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                   fmt::format("open the folder {}", folder.string())};
    // EINVAL: the file system has no fsync of folders and orders its metadata itself.
    if (::fsync(directory.get()) != 0 && errno != EINVAL) {
        throw_errno(fmt::format("fsync the folder {}", folder.string()));
    }
}

bool create_file_atomically(const std::filesystem::path& file, std::span<const std::byte> content) {
    const std::filesystem::path temporary = file.string() + temporary_suffix();
    FileDescriptor descriptor = open_temporary(temporary);
    const TemporaryFile removed_at_the_end{temporary};
    fill(descriptor, temporary, content);
    if (::link(temporary.c_str(), file.c_str()) == 0) return true;
    const int failure = errno;
    if (is_linked(temporary)) return true;
    switch (failure) {
        case EEXIST:
        case ENOENT:  // whoever holds the lock has removed the temporary
            return false;
        case EPERM:
        case EOPNOTSUPP:
        case ENOSYS:
        case EMLINK:
            return create_in_place(file, content);  // this file system has no hard links
        default:
            errno = failure;
            throw_errno(fmt::format("link {} to {}", temporary.string(), file.string()));
    }
}

std::optional<std::vector<std::byte>> read_whole_file(const std::filesystem::path& file) {
    // A pipe would let us wait for who writes to it.
    const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0 && errno == ENOENT) return std::nullopt;
    const FileDescriptor descriptor{opened, fmt::format("open {}", file.string())};
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) throw_errno(fmt::format("stat {}", file.string()));
    if (!S_ISREG(status.st_mode)) {
        throw HistoryError{fmt::format(
            "cannot read {}: found {}, expected a regular file: move it away, or use "
            "another run directory",
            file.string(), S_ISDIR(status.st_mode) ? "a folder" : "a pipe, a socket or a device")};
    }
    std::vector<std::byte> content(static_cast<std::size_t>(status.st_size));
    std::size_t filled = 0;
    while (filled < content.size()) {
        const ssize_t got =
            ::read(descriptor.get(), content.data() + filled, content.size() - filled);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw_errno(fmt::format("read {}", file.string()));
        if (got == 0) break;
        filled += static_cast<std::size_t>(got);
    }
    content.resize(filled);
    return content;
}

std::size_t remove_stale_temporaries(const std::filesystem::path& run_directory) {
    const std::string own_suffix = temporary_suffix();
    std::error_code error;
    std::size_t removed = 0;
    std::filesystem::directory_iterator entry{run_directory, error};
    for (; !error && entry != std::filesystem::directory_iterator{}; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (!is_temporary(name) || name.ends_with(own_suffix)) continue;
        if (::unlink(entry->path().c_str()) == 0) {
            ++removed;
        } else if (errno != ENOENT) {
            throw_errno(fmt::format("remove {}", entry->path().string()));
        }
    }
    if (error) {
        errno = error.value();
        throw_errno(fmt::format("list {}", run_directory.string()));
    }
    return removed;
}

}  // namespace longrope::coordinator
