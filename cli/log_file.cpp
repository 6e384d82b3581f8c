// SPDX-License-Identifier: Apache-2.0
#include "cli/log_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <span>
#include <utility>

#include "coordinator/blocked_signals.hpp"
#include "coordinator/history.hpp"
#include "coordinator/utc_time.hpp"

namespace longrope::cli {
namespace {

coordinator::FileDescriptor open_log(const std::filesystem::path& file) {
    try {
        return {::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666),
                fmt::format("open {}", file.string())};
    } catch (const coordinator::HistoryWriteError& error) {
        throw LogError{error.what()};
    }
}

}  // namespace

LogFile::LogFile(std::filesystem::path file)
    : path_{std::move(file)}, descriptor_{open_log(path_)} {
    const coordinator::BlockedSignals inherited_by_the_thread;
    thread_ = std::thread{[this] { keep_writing(); }};
}

LogFile::~LogFile() {
    {
        const std::lock_guard lock{mutex_};
        ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void LogFile::append(const std::string& line) {
    const std::lock_guard lock{mutex_};
    waiting_ +=
        fmt::format("{}  {}\n", coordinator::iso_8601(coordinator::utc_nanoseconds()), line);
    changed_.notify_all();
    tell_failure();
}

void LogFile::drain() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return waiting_.empty() && !writing_; });
    tell_failure();
}

void LogFile::tell_failure() {
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void LogFile::keep_writing() {
    std::unique_lock lock{mutex_};
    while (true) {
        changed_.wait(lock, [this] { return !waiting_.empty() || ending_; });
        if (waiting_.empty()) return;
        const std::string lines = std::exchange(waiting_, {});
        writing_ = true;
        lock.unlock();
        std::exception_ptr thrown;
        try {
            descriptor_.write_all(std::as_bytes(std::span{lines}),
                                  fmt::format("write {}", path_.string()));
        } catch (const coordinator::HistoryWriteError& error) {
            // Not the history: what was computed can still be stored.
            thrown = std::make_exception_ptr(LogError{error.what()});
        }
        lock.lock();
        writing_ = false;
        if (thrown) failure_ = thrown;
        changed_.notify_all();
    }
}

}  // namespace longrope::cli
