// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evaluator/cpu/instruction_set.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::cpu {

/// Rows of one library call. Always the same, so that a row's bits depend neither on how many rows
/// a document has nor on how many threads there are.
inline constexpr std::int64_t tile_rows = 128;

/// Rows of weights that are packed at a time, at the least and at the most: few enough to stay in
/// the cache between widening and packing.
inline constexpr std::int64_t least_packing_rows = 64;
inline constexpr std::int64_t most_packing_rows = 96;

/// oneDNN, restricted to one instruction set and to one thread per call.
class MatrixLibrary {
public:
    /// @throws EvaluatorError if the process already uses oneDNN with another instruction set, or
    ///         oneDNN cannot multiply in this precision with it
    MatrixLibrary(InstructionSet set, Precision precision, std::uint32_t threads);
    ~MatrixLibrary();
    MatrixLibrary(const MatrixLibrary&) = delete;
    MatrixLibrary& operator=(const MatrixLibrary&) = delete;

    [[nodiscard]] Precision precision() const noexcept { return precision_; }
    [[nodiscard]] static std::string version();

private:
    friend class PackedMatrix;
    struct Handles;
    InstructionSet set_;
    Precision precision_;
    std::unique_ptr<Handles> handles_;
};

/// Weights W [outputs, inputs], packed for products of `tile_rows` rows. What oneDNN fails at is an
/// EvaluatorError that names the shape, and std::bad_alloc where it has no memory.
class PackedMatrix {
public:
    /// Room for the weights, which pack() brings.
    /// @throws std::bad_alloc, EvaluatorError if oneDNN has no such product
    PackedMatrix(MatrixLibrary& library, std::int64_t outputs, std::int64_t inputs);
    ~PackedMatrix();
    PackedMatrix(PackedMatrix&&) noexcept;
    PackedMatrix& operator=(PackedMatrix&&) = delete;
    PackedMatrix(const PackedMatrix&) = delete;
    PackedMatrix& operator=(const PackedMatrix&) = delete;

    [[nodiscard]] std::int64_t outputs() const noexcept { return outputs_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept;

    /// Rows that pack() takes at a time: whole blocks of the packed form, which has 8 to 64 rows in
    /// one, 48 among them.
    [[nodiscard]] std::int64_t packing_rows() const;
    /// Packs rows of W. Several threads may pack, each other rows.
    /// @param first   a multiple of packing_rows()
    /// @param rows    row-major [packing_rows(), inputs], fewer at the end of W; copied
    /// @param thread  index of the calling thread
    void pack(std::int64_t first, std::span<const float> rows, std::uint32_t thread);

    /// out = in Wᵀ, one tile, on the calling thread.
    /// @param in      [tile_rows, inputs] without gaps, float or bfloat16 as the precision says
    /// @param out     [tile_rows, outputs] without gaps
    /// @param thread  index of the calling thread: each has its own working memory
    void multiply(const void* in, float* out, std::uint32_t thread) const;
    /// sum += in Wᵀ, otherwise the same.
    void multiply_add(const void* in, float* sum, std::uint32_t thread) const;

private:
    struct Primitives;
    [[nodiscard]] static Primitives as_matmul(MatrixLibrary& library, std::int64_t outputs,
                                              std::int64_t inputs);
    /// The same product as a convolution with windows of 1 x 1. Below AVX-512, oneDNN 2.6 has
    /// blocked weights and a kernel of their own for it, where its matmul takes plain ones and
    /// reaches a third of the peak with wide outputs.
    /// @returns nothing where it has no such kernel for this shape
    [[nodiscard]] static std::optional<Primitives> as_convolution(MatrixLibrary& library,
                                                                  std::int64_t outputs,
                                                                  std::int64_t inputs);
    void execute(bool add, const void* in, float* out, std::uint32_t thread) const;

    MatrixLibrary* library_;
    std::int64_t outputs_;
    std::int64_t inputs_;
    std::unique_ptr<Primitives> primitives_;
};

}  // namespace longrope::evaluator::cpu
