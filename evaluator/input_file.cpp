// SPDX-License-Identifier: Apache-2.0
#include "evaluator/input_file.hpp"

#include <fmt/format.h>

#include <system_error>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

namespace fs = std::filesystem;

std::uintmax_t size_of_input(const fs::path& file, const std::string& expected) {
    std::error_code error;
    const fs::file_status status = fs::status(file, error);
    const auto refuse = [&](const std::string& found) {
        throw EvaluatorError{fmt::format("{}: {}, expected {}", file.string(), found, expected)};
    };
    if (status.type() == fs::file_type::not_found) refuse("no such file");
    if (error) refuse("cannot be read: " + error.message());
    if (fs::is_directory(status)) refuse("a folder");
    if (!fs::is_regular_file(status)) refuse("a pipe, a socket or a device");
    const std::uintmax_t size = fs::file_size(file, error);
    if (error) refuse("cannot be read: " + error.message());
    return size;
}

bool is_there(const fs::path& file) {
    std::error_code error;
    return fs::status(file, error).type() != fs::file_type::not_found;
}

}  // namespace longrope::evaluator
