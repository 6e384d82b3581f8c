// SPDX-License-Identifier: Apache-2.0
#include "cli/log_file.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "coordinator/file_descriptor.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::cli;
using longrope::coordinator::FileDescriptor;
using longrope::tests::TemporaryFolder;

namespace {

std::string content_of(const std::filesystem::path& file) {
    std::ifstream stream{file};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

/// What `line` becomes in the log.
std::size_t bytes_of(const std::string& line) {
    return std::string{"2026-01-01T00:00:00Z  "}.size() + line.size() + 1;
}

}  // namespace

TEST_CASE("a line is written without waiting for the next one: a kill comes unannounced") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "log.txt";
    LogFile log{file};
    log.append("a line");
    for (int turn = 0; turn < 10000 && content_of(file).empty(); ++turn) {
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    CHECK(content_of(file).size() == bytes_of("a line"));
    CHECK(content_of(file).ends_with("Z  a line\n"));
}

TEST_CASE("who logs does not wait for a file that takes nothing, and it has all in the end") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "log.txt";
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    FileDescriptor reader{::open(file.c_str(), O_RDONLY | O_NONBLOCK), "open the pipe"};
    ::signal(SIGPIPE, SIG_IGN);
    const std::string line(1000, 'x');
    constexpr std::size_t lines = 1000;  // more than a pipe holds
    std::string read;
    {
        LogFile log{file};
        for (std::size_t i = 0; i < lines; ++i) log.append(line);
        std::array<char, 4096> block{};
        for (int idle = 0; read.size() < lines * bytes_of(line) && idle < 10000;) {
            const ssize_t count = ::read(reader.get(), block.data(), block.size());
            if (count > 0) {
                read.append(block.data(), static_cast<std::size_t>(count));
                continue;
            }
            ++idle;
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
        if (read.size() < lines * bytes_of(line)) reader.close("close the pipe");  // a write ends
        REQUIRE(read.size() == lines * bytes_of(line));
        log.drain();
    }
    for (std::size_t i = 0; i < lines; ++i) {
        REQUIRE(read.substr(i * bytes_of(line) + 22, line.size() + 1) == line + "\n");
    }
}

TEST_CASE("a log that cannot be opened or written is an error with path and errno, told once") {
    const TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(LogFile{folder.path() / "gone" / "log.txt"},
                         doctest::Contains("log.txt: No such file or directory (errno 2)"),
                         LogError);
    const std::filesystem::path full = folder.path() / "log.txt";
    std::filesystem::create_symlink("/dev/full", full);
    const std::string expected =
        "cannot write " + full.string() + ": No space left on device (errno 28)";
    LogFile log{full};
    log.append("a line");
    CHECK_THROWS_WITH_AS(log.drain(), expected.c_str(), LogError);
    CHECK_NOTHROW(log.drain());
    const auto append_until_told = [&log] {
        for (int line = 0; line < 10000; ++line) {
            log.append("another line");
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    };
    CHECK_THROWS_WITH_AS(append_until_told(), expected.c_str(), LogError);
    // The line that told of it is tried all the same.
    CHECK_THROWS_WITH_AS(log.drain(), expected.c_str(), LogError);
}
