// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "tests/fuzz/fuzz_targets.hpp"
#include "worker/protocol/frame.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::fuzz {
namespace {

using protocol::Message;
using Bytes = std::vector<std::byte>;

/// What a reader made of a stream: its messages, encoded again, and whether it refused the rest.
struct Reading {
    std::vector<Bytes> messages;
    bool refused = false;
    friend bool operator==(const Reading&, const Reading&) = default;
};

Reading read_in_pieces(std::span<const std::byte> stream, std::size_t piece) {
    protocol::FrameReader reader;
    Reading reading;
    try {
        while (!stream.empty()) {
            const std::size_t size = std::min(piece, stream.size());
            reader.append(stream.first(size));
            stream = stream.subspan(size);
            while (const std::optional<Message> message = reader.next()) {
                reading.messages.push_back(protocol::encode(*message));
            }
        }
    } catch (const protocol::ProtocolError&) {
        reading.refused = true;
    }
    return reading;
}

}  // namespace

int fuzz_frames(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::span<const std::byte> stream{reinterpret_cast<const std::byte*>(data) + 1, size - 1};
    const Reading whole = read_in_pieces(stream, stream.size());
    require(read_in_pieces(stream, 1U + data[0]) == whole,
            "messages do not depend on how their bytes arrive");
    try {
        (void)protocol::decode(stream);
    } catch (const protocol::ProtocolError&) {
        return 0;
    }
    require(whole.messages.size() == 1 && !whole.refused, "a frame is a stream of one message");
    return 0;
}

int fuzz_messages(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    Bytes frame = protocol::encode(protocol::Ping{});  // its header has the magic and the version
    frame.resize(protocol::frame_header_bytes);
    const auto* body = reinterpret_cast<const std::byte*>(data) + 1;
    frame.insert(frame.end(), body, body + (size - 1));
    frame[6] = std::byte{data[0]};
    for (std::size_t i = 0; i < 4; ++i) {
        frame[8 + i] = static_cast<std::byte>((size - 1) >> (8 * i));
    }
    try {
        const Message message = protocol::decode(frame);
        const auto* fault = std::get_if<protocol::Fault>(&message);
        if (fault != nullptr && fault->reason.size() > protocol::max_reason) {
            (void)protocol::encode(message);  // cut, so it is another frame
        } else {
            require(protocol::encode(message) == frame, "a message has one encoding");
        }
    } catch (const protocol::ProtocolError&) {
        return 0;
    }
    return 0;
}

}  // namespace longrope::fuzz
