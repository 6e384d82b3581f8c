// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "coordinator/file_descriptor.hpp"

namespace longrope::cli {

/// The log cannot be opened or written: what was attempted, path, errno's text.
class LogError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A file that is appended to on a thread of its own, so that the event loop never waits for a file
/// system that hangs. Lines are written as soon as they come: a kill comes unannounced. The thread
/// blocks all signals: they belong to the event loop.
class LogFile {
public:
    /// @throws LogError
    explicit LogFile(std::filesystem::path file);
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;
    ~LogFile();  ///< waits until all that was appended is written, or could not be

    /// Hands a line over, after the time it is now (ISO 8601, UTC); does not wait for the file.
    /// @throws LogError if an earlier line could not be written, once for each failure
    void append(const std::string& line);
    /// Waits until all that was appended is written. @throws LogError as append does
    void drain();

private:
    void keep_writing();
    void tell_failure();

    std::filesystem::path path_;
    coordinator::FileDescriptor descriptor_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string waiting_;   ///< whole lines
    bool writing_ = false;  ///< what was taken from `waiting_`
    bool ending_ = false;
    std::exception_ptr failure_;
    std::thread thread_;  // last: it uses the members above
};

}  // namespace longrope::cli
