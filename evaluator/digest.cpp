// SPDX-License-Identifier: Apache-2.0
#include "evaluator/digest.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <bit>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

namespace {

struct FreeContext {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

void check(int status, const char* action) {
    if (status != 1) throw EvaluatorError{fmt::format("OpenSSL cannot {} SHA-256", action)};
}

}  // namespace

struct Sha256::Context {
    std::unique_ptr<EVP_MD_CTX, FreeContext> handle{EVP_MD_CTX_new()};
};

Sha256::Sha256() : context_{std::make_unique<Context>()} {
    if (!context_->handle) throw EvaluatorError{"OpenSSL cannot allocate a digest"};
    check(EVP_DigestInit_ex(context_->handle.get(), EVP_sha256(), nullptr), "start");
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

Sha256& Sha256::bytes(std::span<const std::byte> data) {
    check(EVP_DigestUpdate(context_->handle.get(), data.data(), data.size()), "update");
    return *this;
}

Sha256& Sha256::text(std::string_view value) {
    number(value.size());
    return bytes(std::as_bytes(std::span{value}));
}

Sha256& Sha256::number(std::uint64_t value) {
    std::array<std::byte, 8> little_endian{};
    for (std::size_t i = 0; i < little_endian.size(); ++i) {
        little_endian[i] = static_cast<std::byte>((value >> (8 * i)) & 0xFFU);
    }
    return bytes(little_endian);
}

Sha256& Sha256::real(double value) {
    return number(std::bit_cast<std::uint64_t>(value));
}

std::string Sha256::hexadecimal() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context_->handle.get(), raw.data(), &size), "finish");
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", raw[i]);
    return text;
}

}  // namespace longrope::evaluator
