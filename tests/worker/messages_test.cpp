// SPDX-License-Identifier: Apache-2.0
#include "worker/protocol/messages.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "worker/protocol/frame.hpp"

using namespace longrope::protocol;  // the test is about this namespace alone

namespace {

std::vector<Message> samples() {
    Setup setup;
    setup.number = 3;
    setup.backend = "cpu";
    setup.model_path = "models/demo";
    setup.weights = "streamed";
    setup.synthetic.fault = "crash";
    setup.node_rank = 3;
    setup.longest_positions = 2'048'000;
    setup.device_uuid = "GPU-7";
    Task task;
    task.id = 7;
    task.factors = {1.0, 1.25, 8.0};
    task.positions = 2048;
    task.per_token = true;
    task.offset = 65536;
    task.scored = 256;
    Hello hello;
    hello.setup = 3;
    hello.host = "node1";
    hello.pid = 4711;
    hello.note = "the CPU computes: no driver";
    Fault fault;
    fault.reason = "killed by signal 9";
    fault.given_up = true;
    fault.may_pass = true;
    fault.setup = 3;
    return {setup,
            hello,
            task,
            TokenScores{7, 1, 900, {0.5F, 1.5F}},
            Result{7, 1, 12.5, 3, 0.1},
            fault,
            Ping{},
            Stop{false},
            Retire{},
            Leave{"no memory"}};
}

}  // namespace

TEST_CASE("decode returns what encode was given, for every message") {
    for (const Message& message : samples()) {
        INFO("message type ", message.index());
        CHECK(decode(encode(message)) == message);
    }
}

TEST_CASE("a frame cut anywhere or with bytes added is refused") {
    for (const Message& message : samples()) {
        std::vector<std::byte> frame = encode(message);
        for (std::size_t size = 0; size < frame.size(); ++size) {
            INFO("message type ", message.index(), ", cut to ", size);
            CHECK_THROWS_AS((void)decode(std::span{frame}.first(size)), ProtocolError);
        }
        frame.push_back(std::byte{0});
        CHECK_THROWS_AS((void)decode(frame), ProtocolError);
    }
}

TEST_CASE("no single flipped bit crashes the decoder") {
    for (const Message& message : samples()) {
        const std::vector<std::byte> frame = encode(message);
        for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
            std::vector<std::byte> flipped = frame;
            flipped[bit / 8] ^= std::byte{1} << (bit % 8);
            try {
                (void)decode(flipped);
            } catch (const ProtocolError&) {
                continue;  // refusing is right; so is a message with another value
            }
        }
    }
}

TEST_CASE("a frame reader finds the messages however the stream is cut") {
    std::vector<std::byte> stream;
    for (const Message& message : samples()) {
        const std::vector<std::byte> frame = encode(message);
        stream.insert(stream.end(), frame.begin(), frame.end());
    }
    for (const std::size_t piece :
         {std::size_t{1}, std::size_t{5}, std::size_t{64}, stream.size()}) {
        FrameReader reader;
        std::vector<Message> found;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            reader.append(std::span{stream}.subspan(at, std::min(piece, stream.size() - at)));
            while (auto message = reader.next()) found.push_back(*message);
        }
        INFO("pieces of ", piece);
        CHECK(found == samples());
    }
}

TEST_CASE("a frame reader refuses garbage and absurd lengths at the header") {
    FrameReader garbage;
    const std::string text = "Segmentation fault (core dumped)";
    garbage.append(std::as_bytes(std::span{text}));
    CHECK_THROWS_AS((void)garbage.next(), ProtocolError);

    std::vector<std::byte> frame = encode(Ping{});
    for (std::size_t i = 8; i < 12; ++i) frame[i] = std::byte{0xff};
    FrameReader huge;
    huge.append(frame);
    CHECK_THROWS_AS((void)huge.next(), ProtocolError);
}

TEST_CASE("the largest task, fault and token part travel eagerly between ranks") {
    Task task;
    task.factors.assign(max_factors, 1.0);
    CHECK(encode(task).size() <= max_rank_frame);
    task.factors.push_back(1.0);
    CHECK_THROWS_AS((void)encode(task), ProtocolError);

    TokenScores scores;
    scores.nll.assign(max_token_scores, 1.0F);
    CHECK(encode(scores).size() <= max_rank_frame);

    Fault fault;
    fault.reason = std::string(100000, 'x') + "the end";
    CHECK(encode(fault).size() <= max_rank_frame);
    const auto decoded = std::get<Fault>(decode(encode(fault)));
    CHECK(decoded.reason.ends_with("the end"));
}
