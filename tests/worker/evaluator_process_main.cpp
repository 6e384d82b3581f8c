// SPDX-License-Identifier: Apache-2.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>

#include "worker/child_process.hpp"
#include "worker/evaluator_process.hpp"

int main(int argc, char** argv) {
    // As the program itself does: the same file is test runner and evaluator process.
    if (argc == 3 && std::string_view{argv[1]} == "--evaluator-process") {
        return longrope::worker::run_evaluator_process(longrope::worker::child_socket,
                                                       std::atoi(argv[2]));
    }
    return doctest::Context{argc, argv}.run();
}
