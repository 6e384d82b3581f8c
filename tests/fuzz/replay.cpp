// SPDX-License-Identifier: Apache-2.0
// Gives every file of tests/fuzz/corpus/<target>, or the files named, to the target's function
// once: what was found stays mended, with any compiler. A file that fails ends the program as a
// crash.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_targets.hpp"

namespace {

namespace fs = std::filesystem;
using namespace longrope::fuzz;

struct Target {
    const char* name;
    int (*function)(const std::uint8_t*, std::size_t);
};

constexpr Target targets[]{{"configuration", fuzz_configuration},
                           {"setting", fuzz_setting},
                           {"model_config", fuzz_model_config},
                           {"safetensors", fuzz_safetensors},
                           {"frames", fuzz_frames},
                           {"messages", fuzz_messages},
                           {"documents", fuzz_documents},
                           {"history", fuzz_history}};

std::vector<char> content(const fs::path& file) {
    std::ifstream stream{file, std::ios::binary};
    std::vector<char> bytes{std::istreambuf_iterator<char>{stream}, {}};
    if (!stream.good() && !stream.eof()) throw std::runtime_error{"cannot read " + file.string()};
    return bytes;
}

std::size_t replay(const Target& target, const fs::path& path) {
    if (fs::is_directory(path)) {
        std::size_t count = 0;
        for (const auto& entry : fs::directory_iterator{path}) count += replay(target, entry);
        return count;
    }
    const std::vector<char> bytes = content(path);
    std::printf("%s %s (%zu bytes)\n", target.name, path.c_str(), bytes.size());
    std::fflush(stdout);  // the last line names the file that ends the program
    target.function(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    for (const Target& target : targets) {
        if (argc < 3 || std::string_view{target.name} != argv[1]) continue;
        std::size_t count = 0;
        for (int i = 2; i < argc; ++i) count += replay(target, argv[i]);
        std::printf("%zu files replayed\n", count);
        return count == 0 ? 1 : 0;
    }
    std::fputs("usage: fuzz_replay TARGET FILE_OR_FOLDER...\ntargets:", stderr);
    for (const Target& target : targets) std::fprintf(stderr, " %s", target.name);
    std::fputs("\n", stderr);
    return 2;
}
