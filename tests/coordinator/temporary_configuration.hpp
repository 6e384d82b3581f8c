// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace longrope::coordinator {

/// Every setting that must be given. Nine lines: what a test appends begins on line 10, inside
/// [[stage]].
inline const std::string complete_configuration = R"([model]
path = "models/demo"
[documents]
path = "documents/demo.h5"
[run]
directory = "runs/demo"
[[stage]]
name = "2048"
target_tokens = 2048
)";

/// A configuration file of the given text, in a folder of its own that goes with it.
class TemporaryConfiguration {
public:
    explicit TemporaryConfiguration(std::string_view text) {
        std::string name = (std::filesystem::temp_directory_path() / "longrope-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error{"cannot make " + name};
        folder_ = name;
        std::ofstream{file(), std::ios::binary} << text;
    }
    TemporaryConfiguration(const TemporaryConfiguration&) = delete;
    TemporaryConfiguration& operator=(const TemporaryConfiguration&) = delete;
    ~TemporaryConfiguration() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    [[nodiscard]] std::filesystem::path folder() const { return folder_; }
    [[nodiscard]] std::filesystem::path file() const { return folder_ / "c.toml"; }

private:
    std::filesystem::path folder_;
};

}  // namespace longrope::coordinator
