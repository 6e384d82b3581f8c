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

/// Whether `name` is "<file>.h5.<host>.<pid>.tmp".
bool is_temporary(std::string_view name) {
    constexpr std::string_view ending = ".tmp";
    constexpr std::string_view stem_ending = ".h5.";
    if (!name.ends_with(ending)) return false;
    name.remove_suffix(ending.size());
    const std::size_t stem = name.find(stem_ending);
    const std::size_t dot = name.rfind('.');
    if (stem == std::string_view::npos || stem == 0 || dot <= stem + stem_ending.size()) {
        return false;
    }
    const std::string_view pid = name.substr(dot + 1);
    return !pid.empty() && pid.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> content,
                           const std::function<void()>& before_rename) {
    const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
    const std::filesystem::path temporary = file.string() + temporary_suffix();
    FileDescriptor descriptor{
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666),
        fmt::format("create {}", temporary.string())};
    TemporaryFile removed_on_failure{temporary};
    descriptor.write_all(content, fmt::format("write {}", temporary.string()));
    if (::fsync(descriptor.get()) != 0) throw_errno(fmt::format("fsync {}", temporary.string()));
    descriptor.close(fmt::format("close {}", temporary.string()));

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

std::optional<std::vector<std::byte>> read_whole_file(const std::filesystem::path& file) {
    const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT) return std::nullopt;
    const FileDescriptor descriptor{opened, fmt::format("open {}", file.string())};
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) throw_errno(fmt::format("stat {}", file.string()));
    if (!S_ISREG(status.st_mode)) {
        throw HistoryError{fmt::format("cannot read {}: not a regular file", file.string())};
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
