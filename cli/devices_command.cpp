// SPDX-License-Identifier: Apache-2.0
#include "cli/devices_command.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>

#include "cli/machine.hpp"

namespace longrope::cli {

ExitCode run_devices(const Words& words) {
    cxxopts::Options options{"longrope devices",
                             "What this machine offers to evaluators, and which backend \"auto\" "
                             "takes.\n"};
    options.add_options()("json", "print JSON");
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    if (!parsed->unmatched().empty()) {
        throw UsageError{fmt::format("longrope devices takes no \"{}\"", parsed->unmatched()[0])};
    }
    const Machine machine = this_machine();
    if (parsed->count("json") > 0) {
        std::cout << boost::json::serialize(
                         boost::json::object{{"backend", "cpu"},
                                             {"cpu", machine.cpu},
                                             {"cores", machine.cores},
                                             {"instruction_set", machine.instruction_set},
                                             {"memory_bytes", machine.memory_bytes},
                                             {"available_bytes", machine.available_bytes}})
                  << "\n";
    } else {
        std::cout << fmt::format(
            "cpu        {}, {} cores, kernels for {}, {} of memory, {} available\n"
            "           taken by backend \"auto\"\n"
            "reference  plain loops on one core, the oracle of the others\n"
            "synthetic  a closed-form landscape, for tests\n"
            "cuda       not part of this version\n",
            machine.cpu, machine.cores, machine.instruction_set, spell_bytes(machine.memory_bytes),
            spell_bytes(machine.available_bytes));
    }
    std::cout.flush();
    return ExitCode::done;
}

}  // namespace longrope::cli
