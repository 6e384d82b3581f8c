// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace longrope::evaluator {

/// An incremental SHA-256. Numbers and lengths enter as 8 little-endian bytes, so that a digest is
/// the same on every machine.
class Sha256 {
public:
    /// @throws EvaluatorError if OpenSSL has no SHA-256 (a build restricted by policy)
    Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;
    ~Sha256();

    Sha256& bytes(std::span<const std::byte> data);
    /// The text's length and then its bytes: "ab","c" and "a","bc" differ.
    Sha256& text(std::string_view value);
    Sha256& number(std::uint64_t value);
    /// The bit pattern of the value.
    Sha256& real(double value);

    /// Lower-case hexadecimal, 64 characters. The object takes no more data afterwards.
    [[nodiscard]] std::string hexadecimal();

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

}  // namespace longrope::evaluator
