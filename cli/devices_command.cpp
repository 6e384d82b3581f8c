// SPDX-License-Identifier: Apache-2.0
#include "cli/devices_command.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cli/gpu_devices.hpp"
#include "cli/json_text.hpp"
#include "cli/machine.hpp"

namespace longrope::cli {
namespace {

boost::json::object json_of(const GpuDevice& device) {
    boost::json::array holders;
    for (const auto& holder : device.holders) {
        holders.push_back(boost::json::object{
            {"pid", holder.pid}, {"program", holder.program}, {"bytes", holder.bytes}});
    }
    boost::json::object object{{"name", device.name},
                               {"uuid", device.uuid},
                               {"architecture", device.architecture},
                               {"memory_bytes", device.memory_bytes},
                               {"holders", std::move(holders)}};
    object["index"] = device.index ? boost::json::value(*device.index) : nullptr;
    object["free_bytes"] = device.free_bytes ? boost::json::value(*device.free_bytes) : nullptr;
    return object;
}

void print_json(const Machine& machine, const GpuDevices& gpus) {
    boost::json::array devices;
    for (const GpuDevice& device : gpus.devices) devices.push_back(json_of(device));
    const char* const taken_with_bf16 = gpus.reason.empty() ? "cuda" : "cpu";
    boost::json::object report{{"backend", {{"f32", "cpu"}, {"bf16", taken_with_bf16}}},
                               {"cpu", machine.cpu},
                               {"cores", machine.cores},
                               {"instruction_set", machine.instruction_set},
                               {"memory_bytes", machine.memory_bytes},
                               {"available_bytes", machine.available_bytes},
                               {"memory_limit_bytes", nullptr},
                               {"core_limit", nullptr},
                               {"cuda",
                                {{"reason", gpus.reason},
                                 {"runtime_version", gpus.runtime_version},
                                 {"driver_version", gpus.driver_version},
                                 {"devices", std::move(devices)}}}};
    if (machine.memory_limit) report["memory_limit_bytes"] = *machine.memory_limit;
    if (machine.core_limit) report["core_limit"] = *machine.core_limit;
    std::cout << json_line(report);
}

/// "13.0"
std::string cuda_version(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// Of a job that may not have all; else nothing.
std::string limits_text(const Machine& machine) {
    std::vector<std::string> parts;
    if (machine.core_limit) {
        parts.push_back(fmt::format("the time of {:g} core{}", *machine.core_limit,
                                    *machine.core_limit == 1.0 ? "" : "s"));
    }
    if (machine.memory_limit) {
        parts.push_back(fmt::format("{} of memory", spell_bytes(*machine.memory_limit)));
    }
    if (parts.empty()) return {};
    return fmt::format("of which this job may have {} (limits of its control group)",
                       fmt::join(parts, " and "));
}

void print_text(const Machine& machine, const GpuDevices& gpus) {
    const bool gpu = gpus.reason.empty();
    fmt::memory_buffer text;
    const auto line = [&text](const std::string& words) {
        fmt::format_to(std::back_inserter(text), "{}\n", words);
    };
    line(fmt::format("cpu        {}, {} cores, kernels for {}, {} of memory, {} available",
                     machine.cpu, machine.cores, machine.instruction_set,
                     spell_bytes(machine.memory_bytes), spell_bytes(machine.available_bytes)));
    const std::string limits = limits_text(machine);
    if (!limits.empty()) line("           " + limits);
    line(fmt::format("           taken by backend \"auto\"{}", gpu ? " with precision f32" : ""));
    line("reference  plain loops on one core, the oracle of the others");
    line("synthetic  a closed-form landscape, for tests");
    if (gpu) {
        line(
            fmt::format("cuda       CUDA {}, the driver's is {}; taken by backend \"auto\" with "
                        "precision bf16, a device for each rank of the node",
                        cuda_version(gpus.runtime_version), cuda_version(gpus.driver_version)));
    } else {
        line(fmt::format("cuda       not taken: {}", gpus.reason));
    }
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    for (const GpuDevice& device : gpus.devices) {
        line(fmt::format(
            "{:<11}{}, {}{}, {} of memory, {} free",
            device.index ? fmt::format("gpu {}", *device.index) : "gpu -", device.name, device.uuid,
            device.architecture.empty() ? "" : ", " + device.architecture,
            spell_bytes(device.memory_bytes),
            device.free_bytes ? spell_bytes(*device.free_bytes) : std::string{"unknown"}));
        if (!device.index && gpus.runtime_version != 0) {
            line(fmt::format("           not shown to this process by CUDA{}",
                             visible != nullptr
                                 ? fmt::format(" (CUDA_VISIBLE_DEVICES = {})", visible)
                                 : std::string{}));
        }
        if (!device.strangers.empty()) line("           " + device.strangers);
    }
    std::cout << fmt::to_string(text);
}

}  // namespace

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
    const GpuDevices gpus = gpu_devices();
    if (parsed->count("json") > 0) {
        print_json(machine, gpus);
    } else {
        print_text(machine, gpus);
    }
    std::cout.flush();
    return ExitCode::done;
}

}  // namespace longrope::cli
