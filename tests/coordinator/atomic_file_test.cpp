// SPDX-License-Identifier: Apache-2.0
#include "coordinator/atomic_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "coordinator/history.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::coordinator;
using longrope::tests::TemporaryFolder;

namespace {

std::string host_name() {
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    return host;
}

}  // namespace

TEST_CASE("the holder of the lock removes the temporaries of dead writers and nothing else") {
    const TemporaryFolder folder;
    const std::string own = "search.h5." + host_name() + "." + std::to_string(getpid()) + ".tmp";
    const std::vector<std::string> stale{"search.h5.node1.4711.tmp", "search.h5.a.b-c.1.tmp",
                                         "lock.node1.3.tmp", "lock.a.b-c.1.tmp"};
    const std::vector<std::string> kept{
        "search.h5",       "log.txt",
        "search.h5.tmp",   own,
        "notes.1.tmp",     "lock",
        "lock.1.tmp",      "search.h5.x.tmp",
        "search.h5.old",   "lock.x.tmp",
        ".h5.node1.3.tmp", "scores.h5.node1.3.tmp"};  // of an evaluation that writes here
    for (const auto* names : {&stale, &kept}) {
        for (const std::string& name : *names) std::ofstream{folder.path() / name} << "x";
    }
    CHECK(remove_stale_temporaries(folder.path()) == stale.size());
    for (const std::string& name : stale)
        CHECK_FALSE(std::filesystem::exists(folder.path() / name));
    for (const std::string& name : kept) {
        INFO(name);
        CHECK(std::filesystem::exists(folder.path() / name));
    }
    CHECK_THROWS_WITH_AS(remove_stale_temporaries(folder.path() / "gone"),
                         doctest::Contains("No such file or directory (errno 2)"), HistoryError);
}

TEST_CASE("a file beside the working directory is written too") {
    const TemporaryFolder folder;
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(folder.path());
    const std::vector<std::byte> content(3, std::byte{7});
    write_file_atomically("plain.bin", content);
    std::filesystem::current_path(before);
    CHECK(read_whole_file(folder.path() / "plain.bin") == content);
}

TEST_CASE("a file that must not replace another appears whole, once, and without a temporary") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "lock";
    const std::vector<std::byte> content(300, std::byte{7});
    CHECK(create_file_atomically(file, content));
    CHECK_FALSE(create_file_atomically(file, std::vector<std::byte>(5, std::byte{8})));
    CHECK(read_whole_file(file) == content);
    CHECK(std::distance(std::filesystem::directory_iterator{folder.path()}, {}) == 1);
    CHECK_THROWS_WITH_AS((void)create_file_atomically(folder.path() / "gone" / "lock", content),
                         doctest::Contains("No such file or directory (errno 2)"), HistoryError);
}

TEST_CASE("only regular files are read") {
    const TemporaryFolder folder;
    CHECK_THROWS_WITH_AS((void)read_whole_file(folder.path()), doctest::Contains("regular file"),
                         HistoryError);
    CHECK_FALSE(read_whole_file(folder.path() / "gone").has_value());
    const std::filesystem::path pipe = folder.path() / "pipe";  // that nobody will write to
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK_THROWS_WITH_AS((void)read_whole_file(pipe), doctest::Contains("found a pipe"),
                         HistoryError);
}
