// SPDX-License-Identifier: Apache-2.0
#include "evaluator/documents.hpp"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "evaluator/digest.hpp"
#include "evaluator/documents_probe.hpp"
#include "evaluator/evaluator.hpp"
#include "tests/evaluator/documents_builder.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using longrope::evaluator::Documents;
using longrope::evaluator::EvaluatorError;
using longrope::evaluator::probe_documents;
using longrope::evaluator::probe_failure;
using longrope::evaluator::Sha256;
using longrope::evaluator::Split;
using longrope::evaluator::status_of_child;
using longrope::tests::DocumentsBuilder;
using longrope::tests::TemporaryFolder;

namespace {

const std::filesystem::path damaged_documents =
    std::filesystem::path{LONGROPE_SOURCE_DIR} / "tests/fuzz/corpus/documents";

using Ids = std::vector<std::int32_t>;
using Change = std::function<void(DocumentsBuilder&)>;

Documents read_changed(const Change& change) {
    const TemporaryFolder folder;
    DocumentsBuilder builder;
    change(builder);
    builder.write(folder.path() / "documents.h5");
    return Documents{folder.path() / "documents.h5"};
}

void unchanged(DocumentsBuilder& /*builder*/) {}

struct Refusal {
    Change change;
    std::string message;
};

std::string digest_of(const Change& change) {
    return read_changed(change).digest();
}

}  // namespace

TEST_CASE("a documents file is read whole") {
    const Documents documents = read_changed(unchanged);
    CHECK(documents.count() == 3);
    CHECK(documents.bos_token_id() == 0);
    CHECK(std::ranges::equal(documents.tokens(0), Ids{5, 6, 7}));
    CHECK(std::ranges::equal(documents.tokens(2), Ids{10}));
    CHECK(documents.title(0) == "Emma 1/1");
    CHECK(documents.title(2) == "Gr\xC3\xBC\xC3\x9F 2/2");
    CHECK(documents.split(1) == Split::validation);
    CHECK(documents.of_split(Split::search) == std::vector<std::uint32_t>{0});
    CHECK(documents.of_split(Split::validation) == std::vector<std::uint32_t>{1});
    CHECK(documents.of_split(Split::heldout) == std::vector<std::uint32_t>{2});
}

TEST_CASE("the input of a document begins with BOS where there is one") {
    const Documents with = read_changed(unchanged);
    CHECK(with.positions(0) == 4);
    CHECK(with.input(0, 4) == Ids{0, 5, 6, 7});
    CHECK(with.input(0, 2) == Ids{0, 5});
    CHECK(with.input(0, 0).empty());
    CHECK(with.input(0, 3, 1) == Ids{0, 6, 7});
    CHECK(with.input(0, 2, 2) == Ids{0, 7});
    const Documents without = read_changed([](auto& builder) { builder.bos_token_id = -1; });
    CHECK(without.positions(0) == 3);
    CHECK(without.input(0, 3) == Ids{5, 6, 7});
    CHECK(without.input(0, 2, 1) == Ids{6, 7});
}

TEST_CASE("a document that is too short or does not exist is refused") {
    const Documents documents = read_changed(unchanged);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(documents.input(1, 4)),
        doctest::Contains("document 1 (\"Persuasion 1/2\", validation) fills 3 positions, but 4"),
        EvaluatorError);
    CHECK_THROWS_WITH_AS(static_cast<void>(documents.tokens(3)),
                         doctest::Contains("document 3 does not exist, expected 0 to 2"),
                         EvaluatorError);
    CHECK_THROWS_AS(static_cast<void>(documents.title(3)), EvaluatorError);
    CHECK_THROWS_AS(static_cast<void>(documents.split(3)), EvaluatorError);
    CHECK_THROWS_AS(static_cast<void>(documents.input(3, 1)), EvaluatorError);
}

TEST_CASE("a token outside the vocabulary is named with its document and index") {
    const Documents documents = read_changed(unchanged);
    documents.check_vocabulary(11);
    CHECK_THROWS_WITH_AS(
        documents.check_vocabulary(9),
        doctest::Contains(
            "document 1 (\"Persuasion 1/2\") has token 9 at index 1, expected [0, 9)"),
        EvaluatorError);
    CHECK_THROWS_WITH_AS(
        read_changed([](auto& builder) { builder.tokens[5] = -2; }).check_vocabulary(100),
        doctest::Contains("has token -2 at index 0"), EvaluatorError);
    CHECK_THROWS_WITH_AS(
        read_changed([](auto& builder) { builder.bos_token_id = 50; }).check_vocabulary(20),
        doctest::Contains("bos_token_id = 50, expected a token in [0, 20)"), EvaluatorError);
}

TEST_CASE("a documents file that does not fit its format is refused, saying what was found") {
    const std::vector<Refusal> refusals{
        {[](auto& b) { b.format_version = 2; },
         "format_version = 2, expected 1 to 1: a newer program wrote it"},
        {[](auto& b) { b.format_version = 0; }, "format_version = 0"},
        {[](auto& b) { b.format_version.reset(); }, "attribute format_version is missing"},
        {[](auto& b) { b.bos_token_id.reset(); }, "attribute bos_token_id is missing"},
        {[](auto& b) { b.bos_token_id = -2; }, "bos_token_id = -2"},
        {[](auto& b) { b.bos_token_id = std::int64_t{1} << 40U; }, "bos_token_id = 1099511627776"},
        {[](auto& b) { b.tokens.clear(); }, "dataset tokens is missing"},
        {[](auto& b) { b.offsets.clear(); }, "dataset offsets is missing"},
        {[](auto& b) { b.titles.clear(); }, "dataset titles is missing"},
        {[](auto& b) { b.splits.clear(); }, "dataset split is missing"},
        {[](auto& b) { b.stored_tokens = H5T_STD_U32LE; }, "dataset tokens has type uint32"},
        {[](auto& b) { b.stored_tokens = H5T_STD_I64LE; }, "expected int32"},
        {[](auto& b) { b.stored_tokens = H5T_IEEE_F32LE; }, "expected int32"},
        {[](auto& b) { b.stored_offsets = H5T_STD_I32LE; }, "dataset offsets has type int32"},
        {[](auto& b) { b.tokens_as_matrix = true; }, "dataset tokens has 2 dimensions, expected 1"},
        {[](auto& b) { b.claimed_tokens = hsize_t{1} << 40U; },
         "dataset tokens claims 1099511627776 values of 4 bytes, but the file has"},
        {[](auto& b) { b.title_bytes = 0; }, "dataset titles has type variable-length text"},
        {[](auto& b) { b.title_bytes = 5000; }, "strings of 5000 bytes, expected 1 to 4096"},
        {[](auto& b) { b.titles.pop_back(); }, "dataset titles has 2 values, expected 3"},
        {[](auto& b) { b.splits.push_back(0); }, "dataset split has 4 values, expected 3"},
        {[](auto& b) { b.splits[1] = 3; }, "split[1] = 3, expected 0 (search), 1 (heldout)"},
        {[](auto& b) { b.offsets = {0}; }, "dataset offsets has 1 values"},
        {[](auto& b) { b.offsets[0] = 1; }, "offsets[0] = 1, expected 0"},
        {[](auto& b) { b.offsets[0] = -1; }, "offsets[0] = -1, expected 0"},
        {[](auto& b) { b.offsets[2] = 2; }, "offsets[2] = 2 after offsets[1] = 3"},
        {[](auto& b) { b.offsets[3] = 7; }, "offsets[3] = 7, expected 6, the number of tokens"},
        {[](auto& b) { b.offsets[3] = 5; }, "offsets[3] = 5, expected 6"},
        {[](auto& b) { b.offsets[3] = std::numeric_limits<std::int64_t>::max(); },
         "expected 6, the number of tokens"},
        {[](auto& b) { b.tokens_sha256 = std::string(64, '0'); }, "the file is damaged"},
    };
    for (std::size_t i = 0; i < refusals.size(); ++i) {
        INFO("case ", i, ": ", refusals[i].message);
        CHECK_THROWS_WITH_AS(read_changed(refusals[i].change),
                             doctest::Contains(refusals[i].message.c_str()), EvaluatorError);
    }
}

TEST_CASE("the checksum that the writer leaves is compared") {
    const Ids tokens = DocumentsBuilder{}.tokens;
    const std::string sha256 = Sha256{}.bytes(std::as_bytes(std::span{tokens})).hexadecimal();
    CHECK(read_changed([&](auto& builder) { builder.tokens_sha256 = sha256; }).count() == 3);
}

TEST_CASE("big-endian integers are converted") {
    const Documents documents = read_changed([](auto& builder) {
        builder.stored_tokens = H5T_STD_I32BE;
        builder.stored_offsets = H5T_STD_I64BE;
    });
    CHECK(std::ranges::equal(documents.tokens(0), Ids{5, 6, 7}));
    CHECK(documents.digest() == digest_of(unchanged));
}

TEST_CASE("the digest follows tokens, offsets, splits and BOS, not titles") {
    const std::string digest = digest_of(unchanged);
    CHECK(digest.size() == 64);
    CHECK(digest_of([](auto& builder) { builder.titles[0] = "other"; }) == digest);
    CHECK(digest_of([](auto& builder) { builder.tokens[4] = 1; }) != digest);
    CHECK(digest_of([](auto& builder) { builder.offsets[1] = 2; }) != digest);
    CHECK(digest_of([](auto& builder) { builder.splits[0] = 1; }) != digest);
    CHECK(digest_of([](auto& builder) { builder.bos_token_id = -1; }) != digest);
}

TEST_CASE("a dataset of which less is stored than it claims is refused") {
    CHECK_THROWS_WITH_AS(Documents{damaged_documents / "compact_size.damaged"},
                         doctest::Contains("are stored"), EvaluatorError);
}

TEST_CASE("a file that HDF5 crashes on is refused in place of the crash") {
    CHECK_THROWS_WITH_AS(
        probe_documents(damaged_documents / "chunk_size.damaged"),
        doctest::Contains("chunk_size.damaged: damaged: HDF5 crashes when it reads the file"),
        EvaluatorError);
    CHECK_NOTHROW(probe_documents(damaged_documents / "earliest.h5"));
    CHECK_NOTHROW(probe_documents("missing.h5"));  // who reads it says so
}

TEST_CASE("a reader that was killed says nothing against its file") {
    const std::string killed = probe_failure("good.h5", SIGKILL);
    CHECK(killed.find("good.h5: the process that reads the file was killed") == 0);
    CHECK(killed.find("damaged") == std::string::npos);
    const auto go_round = [] {
        for (std::atomic<int> turn = 0;; ++turn) {
        }
    };
    const int endless = status_of_child(go_round, 1);
    CHECK(probe_failure("circle.h5", endless).find("(CPU time limit exceeded)") !=
          std::string::npos);
    CHECK(status_of_child([] { throw EvaluatorError{"refused"}; }, 1) == 0);
}

TEST_CASE("a file that is missing, cut or no HDF5 is refused in plain words, and what makes one") {
    const TemporaryFolder folder;
    const auto path = folder.path() / "documents.h5";
    const std::string expected =
        ", expected a documents file (HDF5): make it with scripts/tokenize_documents.py";
    const auto refused = [&](const std::string& found) {
        const std::string message = fmt::format("{}: {}{}", path.string(), found, expected);
        CHECK_THROWS_WITH_AS(Documents{path}, message.c_str(), EvaluatorError);
    };
    refused("no such file");
    folder.write("documents.h5", "plain text");
    refused("not an HDF5 file");
    CHECK_THROWS_AS(Documents{folder.path()}, EvaluatorError);

    DocumentsBuilder{}.write(path);
    std::ifstream stream{path, std::ios::binary};
    const std::string whole{std::istreambuf_iterator<char>{stream}, {}};
    for (std::size_t size = 0; size < whole.size(); size += 97) {
        INFO("bytes ", size, " of ", whole.size());
        folder.write("documents.h5", std::string_view{whole}.substr(0, size));
        if (size >= 64) {
            refused(fmt::format("truncated: {} of {} bytes are there", size, whole.size()));
        } else {
            CHECK_THROWS_WITH_AS(Documents{path}, doctest::Contains(expected.c_str()),
                                 EvaluatorError);
        }
    }
}
