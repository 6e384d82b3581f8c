// SPDX-License-Identifier: Apache-2.0
// Damages HDF5 files and has them read, each in a child process of its own; see `usage`. Case n of
// a seed is the same damage wherever it runs.
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "genome/random_stream.hpp"
#include "tests/fuzz/fuzz_targets.hpp"
#include "tests/fuzz/hdf5_reading.hpp"

namespace {

namespace fs = std::filesystem;
using namespace longrope::fuzz;
using Bytes = std::vector<std::uint8_t>;

constexpr const char* usage =
    R"(usage: fuzz_hdf5_mutations documents|history --seconds N [options] FILE...

Changes bits, bytes and lengths of the files, cuts them off, and reads what comes out. The end is
one line; the exit status is 1 if there was a finding.

  --seconds N      how long; 0: no limit of time
  --cases N        how many mutations at most
  --seed S         another sequence (default 1)
  --first N        begin with this case of the sequence
  --findings DIR   where a file that is a finding goes (default: .)

A finding: the reader crashes, throws what it does not document, takes more than 20 s or 1 GiB,
accepts values that are not those under the file's digest: any of a history, tokens of documents.
)";

constexpr unsigned deadline_seconds = 20;
constexpr rlim_t memory_bytes = rlim_t{1} << 30U;

/// How a child ended: its exit status.
enum Outcome : int { unchanged = 0, refused = 10, changed = 11, seal_broken = 12 };

struct File {
    fs::path path;
    Bytes bytes;
    Hdf5Reading reading;
};

struct Kind {
    std::string_view name;
    Hdf5Reading (*read)(std::span<const std::uint8_t>);
};
constexpr std::array kinds{Kind{"documents", read_documents}, Kind{"history", read_history}};

struct Options {
    const Kind* kind = nullptr;
    double seconds = -1;
    std::uint64_t cases = 0;
    std::uint64_t seed = 1;
    std::uint64_t first = 0;
    fs::path findings = ".";
    std::vector<fs::path> files;
};

std::uint64_t whole_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) {
        throw std::invalid_argument{"no whole number: " + std::string{text}};
    }
    return number;
}

Options parse(int argc, char** argv) {
    Options options;
    const std::vector<std::string_view> words{argv + 1, argv + argc};
    for (std::size_t i = 0; i < words.size(); ++i) {
        const auto value = [&] {
            if (i + 1 == words.size()) throw std::invalid_argument{std::string{words[i]}};
            return words[++i];
        };
        if (options.kind == nullptr) {
            const auto* found = std::ranges::find(kinds, words[i], &Kind::name);
            if (found == kinds.end()) throw std::invalid_argument{std::string{words[i]}};
            options.kind = found;
        } else if (words[i] == "--seconds") {
            options.seconds = static_cast<double>(whole_number(value()));
        } else if (words[i] == "--cases") {
            options.cases = whole_number(value());
        } else if (words[i] == "--seed") {
            options.seed = whole_number(value());
        } else if (words[i] == "--first") {
            options.first = whole_number(value());
        } else if (words[i] == "--findings") {
            options.findings = value();
        } else if (words[i].starts_with("--")) {
            throw std::invalid_argument{std::string{words[i]}};
        } else {
            options.files.emplace_back(words[i]);
        }
    }
    if (options.files.empty()) throw std::invalid_argument{"no file"};
    if (options.seconds < 0) throw std::invalid_argument{"no --seconds"};
    return options;
}

Bytes read_bytes(const fs::path& path) {
    std::ifstream stream{path, std::ios::binary};
    if (!stream) throw std::runtime_error{"cannot read " + path.string()};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

// --- Damage -------------------------------------------------------------------------------------

/// One to four changes of a file. Most of a file is values, so half of the changes go to where
/// something other than zero lies, and half of these near another one.
class Damage {
public:
    Damage(const Bytes& original, std::uint64_t seed, std::uint64_t number)
        : random_{seed, "damage", static_cast<std::uint32_t>(number)}, bytes_{original} {
        place_ = below(bytes_.size());
        const std::uint64_t changes = 1 + below(4);
        for (std::uint64_t i = 0; i < changes; ++i) change();
    }
    [[nodiscard]] Bytes bytes() && { return std::move(bytes_); }

private:
    std::uint64_t below(std::uint64_t count) {
        return count == 0 ? 0 : random_.uniform_integer(static_cast<std::uint32_t>(count));
    }

    std::size_t choose_place() {
        if (below(2) == 0) {
            place_ = below(bytes_.size());
            for (int tries = 0; tries < 64 && bytes_[place_] == 0; ++tries) {
                place_ = below(bytes_.size());
            }
        } else if (below(2) == 0) {
            place_ = std::min(place_ + below(64), bytes_.size() - 1);
        } else {
            place_ = below(bytes_.size());
        }
        return place_;
    }

    void fill(std::size_t at, std::uint64_t count, std::uint8_t value) {
        const std::size_t end = std::min<std::size_t>(bytes_.size(), at + count);
        std::fill(bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                  bytes_.begin() + static_cast<std::ptrdiff_t>(end), value);
    }

    /// A number of 1, 2, 4 or 8 bytes that lengths, counts and addresses go wrong with.
    void put_number(std::size_t at) {
        const std::size_t width = std::size_t{1} << below(4);
        const unsigned bit = static_cast<unsigned>(below(8 * width));
        const std::array<std::uint64_t, 8> numbers{0,
                                                   1,
                                                   ~std::uint64_t{0},
                                                   std::uint64_t{1} << bit,
                                                   at,
                                                   below(bytes_.size() + 1),
                                                   (std::uint64_t{1} << bit) - 1,
                                                   bytes_.size()};
        const std::uint64_t number = numbers[below(numbers.size())];
        for (std::size_t i = 0; i < width && at + i < bytes_.size(); ++i) {
            bytes_[at + i] = static_cast<std::uint8_t>(number >> (8 * i));
        }
    }

    void change() {
        if (bytes_.empty()) return;
        const std::size_t at = choose_place();
        switch (below(12)) {
            case 0:
                bytes_.resize(at);
                break;
            case 1:
                fill(at, 1 + below(512), 0x00);
                break;
            case 2:
                fill(at, 1 + below(512), 0xff);
                break;
            case 3: {  // a piece of the file in the place of another
                const std::size_t from = below(bytes_.size());
                const std::size_t size =
                    std::min<std::size_t>(1 + below(256), bytes_.size() - std::max(at, from));
                std::memmove(bytes_.data() + at, bytes_.data() + from, size);
                break;
            }
            case 4: {  // a piece missing: all that follows is at another address
                const std::size_t size = std::min<std::size_t>(1 + below(64), bytes_.size() - at);
                const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(at);
                bytes_.erase(begin, begin + static_cast<std::ptrdiff_t>(size));
                break;
            }
            case 5:
            case 6:
            case 7:
                bytes_[at] = static_cast<std::uint8_t>(bytes_[at] ^ (1U << below(8)));
                break;
            case 8:
                bytes_[at] = static_cast<std::uint8_t>(below(256));
                break;
            default:
                put_number(at);
        }
    }

    longrope::genome::RandomStream random_;
    Bytes bytes_;
    std::size_t place_ = 0;
};

// --- One case -----------------------------------------------------------------------------------

[[noreturn]] void read_as_child(const Kind& kind, const File& file, const Bytes& damaged,
                                int output) {
    ::dup2(output, STDERR_FILENO);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // shadows take terabytes
    const rlimit memory{memory_bytes, memory_bytes};
    ::setrlimit(RLIMIT_AS, &memory);
#endif
    ::alarm(deadline_seconds);
    const Hdf5Reading reading = kind.read(damaged);
    if (!reading.content) {
        require(!reading.refusal.empty(), "a refusal says why");
        ::_exit(refused);
    }
    if (reading.sealed && *reading.sealed != file.reading.sealed) ::_exit(seal_broken);
    ::_exit(*reading.content == file.reading.content ? unchanged : changed);
}

/// @returns the status of waitpid, and what the child wrote to stderr
std::pair<int, std::string> run_case(const Kind& kind, const File& file, const Bytes& damaged) {
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) throw std::runtime_error{"pipe failed"};
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error{"fork failed"};
    if (child == 0) read_as_child(kind, file, damaged, pipe[1]);
    ::close(pipe[1]);
    std::string told;
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    while ((got = ::read(pipe[0], buffer.data(), buffer.size())) > 0) {
        if (told.size() < 100'000) told.append(buffer.data(), static_cast<std::size_t>(got));
    }
    ::close(pipe[0]);
    int status = 0;
    if (::waitpid(child, &status, 0) != child) throw std::runtime_error{"waitpid failed"};
    return {status, told};
}

/// Nothing if the case is none; else what is wrong.
std::string finding(int status) {
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGALRM ? "more than " + std::to_string(deadline_seconds) + " s"
                                           : std::string{::strsignal(WTERMSIG(status))};
    }
    switch (WEXITSTATUS(status)) {
        case unchanged:
        case refused:
        case changed:
            return "";
        case seal_broken:
            return "values were accepted that differ from those under the digest";
        default:
            return "exit status " + std::to_string(WEXITSTATUS(status));
    }
}

int run(const Options& options) {
    using Clock = std::chrono::steady_clock;
    const Kind& kind = *options.kind;
    ::H5dont_atexit();
    std::vector<File> files;
    for (const fs::path& path : options.files) {
        Bytes bytes = read_bytes(path);
        Hdf5Reading reading = kind.read(bytes);
        if (!reading.content) throw std::runtime_error{path.string() + ": " + reading.refusal};
        files.push_back({path, std::move(bytes), std::move(reading)});
    }
    const auto begun = Clock::now();
    std::uint64_t number = options.first;
    std::array<std::uint64_t, 12> outcomes{};
    std::uint64_t findings = 0;
    const auto goes_on = [&] {
        if (options.cases > 0 && number - options.first >= options.cases) return false;
        return options.seconds == 0 ||
               std::chrono::duration<double>(Clock::now() - begun).count() < options.seconds;
    };
    for (; goes_on(); ++number) {
        const File& file = files[number % files.size()];
        const Bytes damaged = Damage{file.bytes, options.seed, number}.bytes();
        const auto [status, told] = run_case(kind, file, damaged);
        const std::string what = finding(status);
        if (what.empty()) {
            ++outcomes[static_cast<std::size_t>(WEXITSTATUS(status))];
            continue;
        }
        ++findings;
        fs::create_directories(options.findings);
        const fs::path reproducer =
            options.findings / (std::string{kind.name} + "-" + std::to_string(options.seed) + "-" +
                                std::to_string(number) + ".h5");
        std::ofstream{reproducer, std::ios::binary}.write(
            reinterpret_cast<const char*>(damaged.data()),
            static_cast<std::streamsize>(damaged.size()));
        std::printf("finding: case %llu of seed %llu: %s\n  %s, from %s\n%s",
                    static_cast<unsigned long long>(number),
                    static_cast<unsigned long long>(options.seed), what.c_str(), reproducer.c_str(),
                    file.path.c_str(), told.c_str());
        std::fflush(stdout);
    }
    std::printf(
        "%.*s: %llu mutations, %llu refused, %llu without effect, %llu with other content, "
        "%llu findings\n",
        static_cast<int>(kind.name.size()), kind.name.data(),
        static_cast<unsigned long long>(number - options.first),
        static_cast<unsigned long long>(outcomes[refused]),
        static_cast<unsigned long long>(outcomes[unchanged]),
        static_cast<unsigned long long>(outcomes[changed]),
        static_cast<unsigned long long>(findings));
    return findings == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    try {
        options = parse(argc, argv);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "fuzz_hdf5_mutations: %s\n%s", error.what(), usage);
        return 2;
    }
    try {
        return run(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fuzz_hdf5_mutations: %s\n", error.what());
        return 2;
    }
}
