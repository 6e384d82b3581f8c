// SPDX-License-Identifier: Apache-2.0
#include "cli/export_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/factors_file.hpp"
#include "cli/json_text.hpp"
#include "cli/standard_error.hpp"
#include "cli/stop_signals.hpp"
#include "coordinator/atomic_file.hpp"
#include "coordinator/file_descriptor.hpp"
#include "evaluator/model/json_file.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t largest_config_bytes = 16U << 20U;
constexpr std::size_t copied_at_once = 4U << 20U;

void write_text(const fs::path& file, const std::string& text) {
    coordinator::write_file_atomically(file, std::as_bytes(std::span{text}));
}

boost::json::object read_json(const fs::path& file) {
    return evaluator::parse_json_object(evaluator::read_text_file(file, largest_config_bytes),
                                        file.string());
}

/// Unlike the library's function it has the system's reason of a write that fails, and ends midway
/// in a file of many gigabytes where a stop is asked for.
void write_copy(const fs::path& from, const fs::path& to) {
    const coordinator::FileDescriptor source{::open(from.c_str(), O_RDONLY | O_CLOEXEC),
                                             fmt::format("open {}", from.string())};
    struct stat status {};
    if (::fstat(source.get(), &status) != 0) {
        coordinator::throw_errno(fmt::format("stat {}", from.string()));
    }
    const std::string writing = fmt::format("write {}", to.string());
    coordinator::FileDescriptor target{
        ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, status.st_mode & 0777U),
        writing};
    std::vector<std::byte> block(copied_at_once);
    while (!requested_stop()) {
        const ssize_t count = ::read(source.get(), block.data(), block.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) coordinator::throw_errno(fmt::format("read {}", from.string()));
        if (count == 0) break;
        target.write_all(std::span{block}.first(static_cast<std::size_t>(count)), writing);
    }
    target.close(writing);
}

constexpr const char* tokenizer_file = "tokenizer_config.json";

/// What the folder's tokenizer_config.json should say, where it allows fewer tokens than the
/// export is for: tokenizers of transformers cut texts there, and vLLM serves no more.
std::optional<boost::json::object> longer_tokenizer_config(const fs::path& folder,
                                                           const RopeExport& rope) {
    if (!fs::is_regular_file(folder / tokenizer_file)) return std::nullopt;
    boost::json::object config = read_json(folder / tokenizer_file);
    const boost::json::value* longest = config.if_contains("model_max_length");
    if (longest == nullptr || !longest->is_number()) return std::nullopt;
    const auto wanted = static_cast<double>(rope.target_tokens());
    if (longest->to_number<double>() >= wanted) return std::nullopt;
    config["model_max_length"] = rope.target_tokens();
    return config;
}

std::string write_folder(const ExportPlan& plan) {
    const fs::path source{plan.configuration.model.path};
    const boost::json::object original = read_json(source / "config.json");
    const auto tokenizer = longer_tokenizer_config(source, plan.rope);
    std::size_t files = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator{source}) {
        const fs::path name = entry.path().filename();
        if (!entry.is_regular_file() || name == "config.json") continue;
        if (tokenizer && name == tokenizer_file) continue;
        if (requested_stop()) return "";  // the caller takes it away
        if (plan.copy_weights) {
            write_copy(entry.path(), plan.output / name);
        } else {
            // A file that is a link itself may stand for one in a cache: the link leads to that.
            fs::create_symlink(fs::canonical(entry.path()), plan.output / name);
        }
        ++files;
    }
    if (requested_stop()) return "";
    if (tokenizer) write_text(plan.output / tokenizer_file, json_text(*tokenizer));
    // Last, so that a folder with a config.json is whole.
    write_text(plan.output / "config.json",
               json_text(hugging_face_config(original, plan.model.value(), plan.rope)));
    return fmt::format("{}: config.json{}, and {} {} files of {}", plan.output.string(),
                       tokenizer ? fmt::format(", {}", tokenizer_file) : "",
                       plan.copy_weights ? "copies of" : "links to", files, source.string());
}

}  // namespace

std::string write_export(const ExportPlan& plan) {
    switch (plan.format) {
        case ExportFormat::hugging_face:
            return write_folder(plan);
        case ExportFormat::vllm:
            if (longer_tokenizer_config(plan.configuration.model.path, plan.rope)) {
                print_error(
                    "{}/{}: its model_max_length is below {}, and vLLM serves no more than that: "
                    "--format hf writes the file anew\n",
                    plan.configuration.model.path, tokenizer_file, plan.rope.target_tokens());
            }
            write_text(plan.output, json_text(vllm_overrides(plan.model.value(), plan.rope)));
            break;
        case ExportFormat::csv:
            write_text(plan.output, factors_csv(plan.rope));
            break;
        case ExportFormat::json:
            write_text(plan.output, json_text(native_export(plan.rope)));
            break;
    }
    return plan.output.string();
}

ReloadedRope reload_export(const ExportPlan& plan) {
    const std::size_t pairs = plan.rope.long_list.factors.size();
    switch (plan.format) {
        case ExportFormat::hugging_face:
            return reload_hugging_face(plan.output);
        case ExportFormat::vllm:
            return reload_vllm(plan.output, pairs);
        case ExportFormat::csv:
        case ExportFormat::json:
            break;
    }
    const FactorsFile file = read_factors_file(plan.output, "--output", pairs, plan.rope.theta);
    // A CSV file says nothing of the scale: whoever loads it has to.
    const double scale = file.attention_scale.value_or(plan.rope.attention_scale);
    return {file.factors, file.short_factors, scale, scale, file.start_tokens.value_or(0)};
}

}  // namespace longrope::cli
