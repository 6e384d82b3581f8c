// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/protocol/messages.hpp"

namespace longrope::protocol {

inline constexpr std::uint32_t frame_magic = 0x45505254;  // "TRPE" on the wire
inline constexpr std::size_t frame_header_bytes =
    12;  // magic u32, version u16, type u16, length u32
inline constexpr std::uint32_t max_frame_body = 16U << 20U;

/// Cuts a byte stream into messages.
class FrameReader {
public:
    void append(std::span<const std::byte> bytes);
    /// The next whole message, or nullopt until more bytes come.
    /// @throws ProtocolError on bytes that are no frame; the stream cannot be used afterwards
    [[nodiscard]] std::optional<Message> next();

private:
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;
};

}  // namespace longrope::protocol
