// SPDX-License-Identifier: Apache-2.0
#include "worker/protocol/messages.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "worker/protocol/byte_stream.hpp"
#include "worker/protocol/frame.hpp"

namespace longrope::protocol {
namespace {

// Each message lists its fields once; `visit` writes or reads them in this order.
template <typename Visitor, typename M>
void fields(Visitor& visit, M& m) {
    using T = std::remove_const_t<M>;
    if constexpr (std::is_same_v<T, SyntheticSetup>) {
        visit(m.dimensions), visit(m.theta), visit(m.original_window), visit(m.documents);
        visit(m.duration_ms), visit(m.duration_spread), visit(m.fault);
        visit(m.fault_every), visit(m.poison_every);
    } else if constexpr (std::is_same_v<T, Setup>) {
        visit(m.number);
        visit(m.backend), visit(m.model_path), visit(m.documents_path), visit(m.precision);
        visit(m.isa), visit(m.angles), visit(m.weights), visit(m.threads);
        visit(m.start_deadline_seconds), visit(m.watchdog_seconds);
        fields(visit, m.synthetic);
        visit(m.node_rank), visit(m.longest_positions), visit(m.device_uuid);
    } else if constexpr (std::is_same_v<T, Hello>) {
        visit(m.setup);
        visit(m.model_digest), visit(m.documents_digest), visit(m.numerics_class);
        visit(m.device_name), visit(m.device_uuid), visit(m.host), visit(m.build);
        visit(m.pid), visit(m.memory_bytes), visit(m.note);
    } else if constexpr (std::is_same_v<T, Task>) {
        visit(m.id), visit(m.attempt), visit(m.factors), visit(m.start_tokens);
        visit(m.attention_scale), visit(m.positions), visit(m.document);
        visit(m.deadline_seconds), visit(m.per_token), visit(m.offset), visit(m.scored);
    } else if constexpr (std::is_same_v<T, TokenScores>) {
        visit(m.id), visit(m.attempt), visit(m.offset), visit(m.nll);
    } else if constexpr (std::is_same_v<T, Result>) {
        visit(m.id), visit(m.attempt), visit(m.sum_nll), visit(m.scored_tokens), visit(m.seconds);
    } else if constexpr (std::is_same_v<T, Fault>) {
        visit(m.id), visit(m.attempt), visit(m.at_start), visit(m.given_up);
        visit(m.setup), visit(m.reason), visit(m.hung), visit(m.may_pass);
    } else if constexpr (std::is_same_v<T, Stop>) {
        visit(m.finalize);
    } else if constexpr (std::is_same_v<T, Leave>) {
        visit(m.reason);
    } else {
        static_assert(std::is_same_v<T, Ping> || std::is_same_v<T, Retire>);
    }
}

template <std::size_t Index = 0>
Message decode_body(std::uint16_t type, ByteReader& reader) {
    if constexpr (Index < std::variant_size_v<Message>) {
        if (type != Index) return decode_body<Index + 1>(type, reader);
        std::variant_alternative_t<Index, Message> message;
        fields(reader, message);
        reader.finish();
        return message;
    } else {
        throw ProtocolError{fmt::format("a frame of unknown type {} (known: 0 to {})", type,
                                        std::variant_size_v<Message> - 1)};
    }
}

void check_limits(const Message& message) {
    if (const Task* task = std::get_if<Task>(&message)) {
        if (task->factors.size() > max_factors) {
            throw ProtocolError{fmt::format("a task with {} rescale factors; at most {} travel",
                                            task->factors.size(), max_factors)};
        }
    } else if (const TokenScores* scores = std::get_if<TokenScores>(&message)) {
        if (scores->nll.size() > max_token_scores) {
            throw ProtocolError{fmt::format("{} token scores in a part; at most {} travel",
                                            scores->nll.size(), max_token_scores)};
        }
    }
}

/// The end of an evaluator's output says why it died.
void cut_reason(std::string& reason) {
    if (reason.size() > max_reason) reason = "…" + reason.substr(reason.size() - max_reason);
}

struct Header {
    std::uint32_t magic = frame_magic;
    std::uint16_t version = protocol_version;
    std::uint16_t type = 0;
    std::uint32_t length = 0;
};

Header read_header(std::span<const std::byte> bytes) {
    ByteReader reader{bytes.first(frame_header_bytes)};
    Header header;
    reader(header.magic), reader(header.version), reader(header.type), reader(header.length);
    if (header.magic != frame_magic) {
        throw ProtocolError{fmt::format("no frame: it starts with {:#010x}, expected {:#010x}",
                                        header.magic, frame_magic)};
    }
    if (header.version != protocol_version) {
        throw ProtocolError{fmt::format("a frame of protocol version {}; this program speaks {}",
                                        header.version, protocol_version)};
    }
    if (header.length > max_frame_body) {
        throw ProtocolError{fmt::format("a frame of {} bytes; at most {} are accepted",
                                        header.length, max_frame_body)};
    }
    return header;
}

}  // namespace

std::vector<std::byte> encode(const Message& message) {
    check_limits(message);
    Message cut = message;
    if (Fault* fault = std::get_if<Fault>(&cut)) cut_reason(fault->reason);
    if (Leave* leave = std::get_if<Leave>(&cut)) cut_reason(leave->reason);
    if (Hello* hello = std::get_if<Hello>(&cut); hello && hello->note.size() > max_note) {
        hello->note = hello->note.substr(0, max_note) + "…";
    }
    ByteWriter writer;
    writer(frame_magic), writer(protocol_version);
    writer(static_cast<std::uint16_t>(cut.index())), writer(std::uint32_t{0});
    std::visit([&writer](const auto& body) { fields(writer, body); }, cut);
    std::vector<std::byte> frame = std::move(writer.bytes());
    const auto length = static_cast<std::uint32_t>(frame.size() - frame_header_bytes);
    std::memcpy(frame.data() + frame_header_bytes - sizeof length, &length, sizeof length);
    return frame;
}

Message decode(std::span<const std::byte> frame) {
    if (frame.size() < frame_header_bytes) {
        throw ProtocolError{
            fmt::format("a frame of {} bytes; a header has {}", frame.size(), frame_header_bytes)};
    }
    const Header header = read_header(frame);
    if (frame.size() - frame_header_bytes != header.length) {
        throw ProtocolError{fmt::format("a frame announces {} bytes and has {}", header.length,
                                        frame.size() - frame_header_bytes)};
    }
    ByteReader reader{frame.subspan(frame_header_bytes)};
    Message message = decode_body(header.type, reader);
    check_limits(message);
    return message;
}

void FrameReader::append(std::span<const std::byte> bytes) {
    if (begin_ > 0) {
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(begin_));
        begin_ = 0;
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

std::optional<Message> FrameReader::next() {
    const std::span<const std::byte> left = std::span{buffer_}.subspan(begin_);
    if (left.size() < frame_header_bytes) return std::nullopt;
    const std::size_t size = frame_header_bytes + read_header(left).length;
    if (left.size() < size) return std::nullopt;
    begin_ += size;
    return decode(left.first(size));
}

}  // namespace longrope::protocol
