// SPDX-License-Identifier: Apache-2.0
// Writes the sample history to the file named by the only argument, for tests in other languages.
#include <cstdio>
#include <exception>

#include "coordinator/history_file.hpp"
#include "tests/coordinator/sample_history.hpp"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: write_sample_history FILE\n", stderr);
        return 2;
    }
    try {
        longrope::coordinator::write_history(argv[1], longrope::coordinator::sample_history());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
