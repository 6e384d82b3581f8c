// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace longrope::tests {

/// The bytes of a safetensors file with this header text and this data, well-formed or not.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
    std::string bytes;
    std::uint64_t length = header.size();
    for (int i = 0; i < 8; ++i, length >>= 8U) bytes += static_cast<char>(length & 0xFFU);
    return bytes.append(header).append(data);
}

/// A well-formed file of F32 vectors, added one after the other.
class SafetensorsBuilder {
public:
    SafetensorsBuilder& add(std::string_view name, const std::string& data) {
        header_ += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                               header_.empty() ? "" : ",", name, data.size() / 4, data_.size(),
                               data_.size() + data.size());
        data_ += data;
        return *this;
    }
    [[nodiscard]] std::string bytes() const {
        return safetensors_bytes("{" + header_ + "}", data_);
    }

private:
    std::string header_;
    std::string data_;
};

}  // namespace longrope::tests
