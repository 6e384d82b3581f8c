// SPDX-License-Identifier: Apache-2.0
// Prints docs/configuration.md.
#include <cstdio>
#include <string>

#include "coordinator/configuration.hpp"

int main() {
    const std::string page = longrope::coordinator::configuration_reference_markdown();
    return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
