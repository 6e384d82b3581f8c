// SPDX-License-Identifier: Apache-2.0
#include "coordinator/run_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <random>
#include <span>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "coordinator/atomic_file.hpp"
#include "coordinator/file_descriptor.hpp"
#include "coordinator/history.hpp"

namespace longrope::coordinator {

namespace {

/// The lock file as it was at one moment.
struct SeenLock {
    std::string text;
    std::int64_t modified = 0;       ///< ns since 1970-01-01 UTC by the file server's clock
    std::optional<LockOwner> owner;  ///< empty: incomplete, or not a lock of ours

    friend bool operator==(const SeenLock&, const SeenLock&) = default;
};

std::optional<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string format_owner(const LockOwner& owner) {
    return fmt::format(
        "host={} pid={} process_start={} pid_namespace={} job_id={} restart_count={} token={}\n",
        owner.host, owner.pid, owner.process_start, owner.pid_namespace, owner.job_id,
        owner.restart_count, owner.token);
}

/// The line ends with the token and a newline, so that half a line never passes for a whole one.
std::optional<LockOwner> parse_owner(const std::string& text) {
    if (!text.ends_with('\n')) return std::nullopt;
    LockOwner owner;
    bool complete = true;
    const auto set_integer = [&](std::int64_t& field, const std::string& value) {
        const std::optional<std::int64_t> parsed = parse_integer(value);
        complete = complete && parsed.has_value();
        field = parsed.value_or(0);
    };
    std::istringstream pairs{text};
    for (std::string pair; pairs >> pair;) {
        const std::size_t equals = pair.find('=');
        if (equals == std::string::npos) continue;
        const std::string key = pair.substr(0, equals);
        const std::string value = pair.substr(equals + 1);
        if (key == "host") owner.host = value;
        if (key == "pid") set_integer(owner.pid, value);
        if (key == "process_start") set_integer(owner.process_start, value);
        if (key == "pid_namespace") owner.pid_namespace = value;
        if (key == "job_id") owner.job_id = value;
        if (key == "restart_count") set_integer(owner.restart_count, value);
        if (key == "token") owner.token = value;
    }
    complete = complete && !owner.host.empty() && owner.pid > 0 && !owner.token.empty();
    return complete ? std::optional{owner} : std::nullopt;
}

/// Content and time stamp by one descriptor: opening makes a network file system ask its server,
/// and both belong to the same file even if it is replaced meanwhile.
std::optional<SeenLock> look(const FileDescriptor& descriptor, const std::filesystem::path& file) {
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) throw_errno(fmt::format("stat {}", file.string()));
    std::array<char, 4096> bytes{};
    const ssize_t count = ::read(descriptor.get(), bytes.data(), bytes.size());
    if (count < 0) throw_errno(fmt::format("read {}", file.string()));
    SeenLock seen;
    seen.text.assign(bytes.data(), static_cast<std::size_t>(count));
    seen.modified = status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec;
    seen.owner = parse_owner(seen.text);
    return seen;
}

/// @returns nullopt if there is no lock
std::optional<SeenLock> look(const std::filesystem::path& file) {
    // A pipe, which is no lock, would let us wait for who writes to it.
    const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0 && errno == ENOENT) return std::nullopt;
    return look(FileDescriptor{opened, fmt::format("open {}", file.string())}, file);
}

/// As look, but a lock between its creation and its line, a matter of microseconds, gets time.
std::optional<SeenLock> look_patiently(const std::filesystem::path& file) {
    std::optional<SeenLock> seen = look(file);
    for (int i = 0; i < 20 && seen && !seen->owner; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
        seen = look(file);
    }
    return seen;
}

/// Start time of a process in ticks since boot; nullopt if there is none, or only a zombie, which
/// holds nothing any more.
std::optional<std::int64_t> process_start_of(std::int64_t pid) {
    std::ifstream file{fmt::format("/proc/{}/stat", pid)};
    std::string text;
    std::getline(file, text, '\0');
    const std::size_t name_end = text.rfind(')');  // the name may hold spaces and parentheses
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream rest{text.substr(name_end + 1)};
    std::string state;
    rest >> state;
    if (state == "Z" || state == "X") return std::nullopt;
    std::string value;
    constexpr int fields_from_state_to_start_time = 19;  // proc(5): fields 3 and 22
    for (int i = 0; i < fields_from_state_to_start_time; ++i) rest >> value;
    return parse_integer(value);
}

bool is_held_by(const std::optional<SeenLock>& seen, const LockOwner& self) {
    return seen && seen->owner && seen->owner->token == self.token;
}

std::string describe(const SeenLock& seen) {
    return seen.owner ? describe(*seen.owner) : "an unknown program";
}

[[noreturn]] void refuse(const std::filesystem::path& file, const SeenLock& seen) {
    throw RunDirectoryInUse{fmt::format(
        "{} is in use by {} (lock {}). End that coordinator, or use another run directory.",
        file.parent_path().string(), describe(seen), file.string())};
}

/// A name that is taken though nothing can be opened by it.
void refuse_dangling(const std::filesystem::path& file) {
    std::error_code ignored;
    const std::filesystem::path target = std::filesystem::read_symlink(file, ignored);
    if (ignored || std::filesystem::exists(file, ignored)) return;
    throw HistoryError{fmt::format(
        "{} is a link to {}, which does not exist, expected a lock or nothing: remove the link",
        file.string(), target.string())};
}

std::string draw_token() {
    std::random_device device;
    return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

constexpr std::chrono::milliseconds look_around{100};  // for a reason to stop watching

/// @returns false if there is a lock already
bool create(const std::filesystem::path& file, const std::string& line) {
    return create_file_atomically(file, std::as_bytes(std::span{line}));
}

/// Puts our line in the place of the stale lock `seen`, unless somebody else was faster.
void take_over(const std::filesystem::path& file, const SeenLock& stale, const LockOwner& self) {
    const std::string line = format_owner(self);
    const auto still_stale = [&] {
        const std::optional<SeenLock> now = look(file);
        if (now && *now != stale) refuse(file, *now);
    };
    try {
        write_file_atomically(file, std::as_bytes(std::span{line}), still_stale);
        // Another that saw the same stale lock may replace ours within the blink between its look
        // and its rename; whoever is named after a pause is the one.
        std::this_thread::sleep_for(std::chrono::milliseconds{200});
        const std::optional<SeenLock> now = look_patiently(file);
        if (now && !is_held_by(now, self)) refuse(file, *now);
    } catch (const HistoryWriteError&) {
        if (is_held_by(look(file), self)) {  // it failed after our line was in its place
            ::unlink(file.c_str());
            throw;
        }
        still_stale();  // another took the lock, and removed our temporary
        throw;
    }
}

}  // namespace

LockOwner this_process() {
    LockOwner self;
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) throw_errno("read the host name");
    self.host = host.data();
    self.pid = ::getpid();
    self.process_start = process_start_of(self.pid).value_or(0);
    std::error_code ignored;  // without /proc all processes count as of one namespace
    self.pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", ignored).string();
    if (const char* job = std::getenv("SLURM_JOB_ID")) self.job_id = job;
    if (const char* count = std::getenv("SLURM_RESTART_COUNT")) {
        self.restart_count = parse_integer(count).value_or(0);
    }
    return self;
}

std::string describe(const LockOwner& owner) {
    std::string text = fmt::format("host {}, process {}", owner.host, owner.pid);
    if (!owner.job_id.empty()) {
        text += fmt::format(", Slurm job {} (restart {})", owner.job_id, owner.restart_count);
    }
    return text;
}

Holder holder_state(const LockOwner& owner, const LockOwner& self) {
    if (!self.job_id.empty() && owner.job_id == self.job_id &&
        owner.restart_count < self.restart_count) {
        return Holder::gone;
    }
    if (owner.host != self.host || owner.pid_namespace != self.pid_namespace) {
        return Holder::unknown;
    }
    const auto ended = [&owner] {
        return ::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH;
    };
    if (ended()) return Holder::gone;
    const auto start = process_start_of(owner.pid);
    if (start) return *start == owner.process_start ? Holder::alive : Holder::gone;
    // A zombie, or it has ended just now; or another user's, where /proc shows each only their own.
    const bool is_shown = std::ifstream{fmt::format("/proc/{}/stat", owner.pid)}.is_open();
    return is_shown || ended() ? Holder::gone : Holder::unknown;
}

std::optional<LockOwner> lock_owner(const std::filesystem::path& run_directory) {
    const std::optional<SeenLock> seen = look(run_directory / "lock");
    return seen ? seen->owner : std::nullopt;
}

RunLock::RunLock(const std::filesystem::path& run_directory, LockOwner self,
                 std::chrono::milliseconds patience,
                 const std::function<void(const std::string&)>& waiting,
                 const std::function<std::optional<std::string>()>& stop_reason)
    : file_{run_directory / "lock"}, self_{std::move(self)} {
    self_.token = draw_token();
    std::error_code error;
    std::filesystem::create_directories(run_directory, error);
    if (error) {
        errno = error.value();
        throw_errno(fmt::format("create the folder {}", run_directory.string()));
    }

    std::optional<SeenLock> before;
    int untouched = 0;
    while (!create(file_, format_owner(self_))) {
        const std::optional<SeenLock> seen = look_patiently(file_);
        if (!seen) {
            refuse_dangling(file_);
            continue;  // released meanwhile
        }
        const Holder holder = seen->owner ? holder_state(*seen->owner, self_) : Holder::unknown;
        if (holder == Holder::alive || (before && *before != *seen)) refuse(file_, *seen);
        if (before) ++untouched;
        if (holder == Holder::gone || untouched == 2) {
            take_over(file_, *seen, self_);
            return;
        }
        before = seen;
        if (waiting) {
            waiting(fmt::format("{} is locked by {}: watching for {}{} s whether it is alive",
                                run_directory.string(), describe(*seen),
                                untouched == 0 ? "" : "another ",
                                std::chrono::duration<double>(patience).count()));
        }
        const auto end = std::chrono::steady_clock::now() + patience;
        do {
            const auto reason = stop_reason ? stop_reason() : std::nullopt;
            if (reason) {
                throw WatchStopped{
                    fmt::format("{} while the lock of {} was watched: {} is as it was", *reason,
                                describe(*seen), run_directory.string())};
            }
            std::this_thread::sleep_for(std::min(patience, look_around));
        } while (std::chrono::steady_clock::now() < end);
    }
}

RunLock::~RunLock() {
    try {
        check();
        ::unlink(file_.c_str());
    } catch (const std::exception&) {
        // Lost or unreadable: then it is not ours to remove.
    }
}

void RunLock::check() const {
    const std::optional<SeenLock> seen = look_patiently(file_);
    if (is_held_by(seen, self_)) return;
    throw LockLost{fmt::format("{} was {}: this coordinator stops without writing", file_.string(),
                               seen ? "taken over by " + describe(*seen) : "removed")};
}

void RunLock::touch() const {
    const int opened = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT) check();
    const FileDescriptor descriptor{opened, fmt::format("open {}", file_.string())};
    const std::optional<SeenLock> seen = look(descriptor, file_);
    if (!is_held_by(seen, self_)) check();
    // By descriptor: if the lock is replaced right now, the new one is left alone.
    if (::futimens(descriptor.get(), nullptr) != 0) {
        throw_errno(fmt::format("touch {}", file_.string()));
    }
}

}  // namespace longrope::coordinator
