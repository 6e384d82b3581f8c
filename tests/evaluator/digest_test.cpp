// SPDX-License-Identifier: Apache-2.0
#include "evaluator/digest.hpp"

#include <doctest/doctest.h>

#include <span>
#include <string_view>

using longrope::evaluator::Sha256;

TEST_CASE("SHA-256 gives the answers published in FIPS 180-4") {
    CHECK(Sha256{}.hexadecimal() ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const std::string_view abc = "abc";
    const std::string expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK(Sha256{}.bytes(std::as_bytes(std::span{abc})).hexadecimal() == expected);
    Sha256 pieces;
    for (const char& letter : abc) pieces.bytes(std::as_bytes(std::span{&letter, 1}));
    CHECK(pieces.hexadecimal() == expected);
}

TEST_CASE("texts enter a digest with their lengths, numbers with all their bytes") {
    CHECK(Sha256{}.text("ab").text("c").hexadecimal() !=
          Sha256{}.text("a").text("bc").hexadecimal());
    CHECK(Sha256{}.number(1).hexadecimal() != Sha256{}.number(1ULL << 32U).hexadecimal());
    CHECK(Sha256{}.real(0.0).hexadecimal() != Sha256{}.real(-0.0).hexadecimal());
}
