// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/safetensors.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "tests/evaluator/model/safetensors_builder.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using longrope::evaluator::DataType;
using longrope::evaluator::EvaluatorError;
using longrope::evaluator::SafetensorsFile;
using longrope::evaluator::widen;
using longrope::tests::safetensors_bytes;
using longrope::tests::TemporaryFolder;

namespace {

struct Refusal {
    std::string header;
    std::string message;
};

const std::string eight_bytes(8, '\0');

}  // namespace

TEST_CASE("tensors of a safetensors file are found by name, with type, shape and values") {
    const TemporaryFolder folder;
    const std::string data{"\x00\x00\x80\x3F\x00\x3C\x00\xC0", 8};
    const auto path =
        folder.write("model.safetensors", safetensors_bytes(R"({"__metadata__": {"format": "pt"},
            "b": {"dtype": "F16", "shape": [2, 1], "data_offsets": [4, 8]},
            "none": {"dtype": "BF16", "shape": [3, 0], "data_offsets": [8, 8]},
            "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}   )",
                                                            data));
    const SafetensorsFile file{path};
    REQUIRE(file.tensors().size() == 3);
    CHECK(widen(file.tensors().at("a")) == std::vector<float>{1.0F});
    CHECK(widen(file.tensors().at("b")) == std::vector<float>{1.0F, -2.0F});
    CHECK(file.tensors().at("b").type == DataType::f16);
    CHECK(file.tensors().at("b").shape == std::vector<std::int64_t>{2, 1});
    CHECK(file.tensors().at("none").bytes.empty());
}

TEST_CASE("a row read from the file is the row that is mapped") {
    const TemporaryFolder folder;
    const auto path = folder.write(
        "model.safetensors",
        safetensors_bytes(R"({"a": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
            "b": {"dtype": "F16", "shape": [3, 2], "data_offsets": [4, 16]}})",
                          std::string{"\x00\x00\x80\x3F"
                                      "\x00\x3C\x00\xC0\x00\x40\x00\x00\x01\x00\x00\x3C",
                                      16}));
    const SafetensorsFile file{path};
    const auto& table = file.tensors().at("b");
    CHECK(read_row(table, 0) == std::vector<float>{1.0F, -2.0F});
    for (const std::int64_t row : {0, 1, 2}) {
        INFO("row ", row);
        CHECK(read_row(table, row) == widen(table.rows(row, 1)));
        CHECK(read_row(table.rows(row, 1), 0) == widen(table.rows(row, 1)));
    }
    auto in_memory = table;
    in_memory.file = -1;
    CHECK(read_row(in_memory, 2) == read_row(table, 2));

    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
    CHECK(read_row(table, 1) == std::vector<float>{2.0F, 0.0F});
    CHECK_THROWS_WITH_AS(static_cast<void>(read_row(table, 2)),
                         "b: row 2 cannot be read from its file: it ends before", EvaluatorError);
}

TEST_CASE("a safetensors header that does not fit is refused, naming tensor and numbers") {
    // The data are 8 bytes long.
    const std::vector<Refusal> refusals{
        {"", "header: not valid JSON"},
        {"{\"a\": ", "header: not valid JSON"},
        {"[]", "header: found [], expected a JSON object"},
        {R"({"a": 3})", "tensor a: found 3, expected a JSON object"},
        {R"({"a\u001b[31m": 3})", "found the tensor name \"a\\u001b[31m\", expected one without"},
        {R"({"a": {"shape": [2], "data_offsets": [0, 8]}})", "tensor a: found no dtype"},
        {R"({"a": {"dtype": "I8", "shape": [8], "data_offsets": [0, 8]}})",
         "tensor a: found dtype \"I8\", expected \"F32\", \"F16\" or \"BF16\""},
        {R"({"a": {"dtype": "F32", "data_offsets": [0, 8]}})", "tensor a: found no shape"},
        {R"({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}})", "found shape 2"},
        {R"({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}})", "found shape [-2]"},
        {R"({"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}})", "found shape [2E0]"},
        {R"({"a": {"dtype": "F32", "shape": [2]}})", "tensor a: found no data_offsets"},
        {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}})", "data_offsets [0]"},
        {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": ["0", 8]}})", "two integers"},
        {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}})", "0 <= begin <= end"},
        {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}})", "0 <= begin <= end"},
        {R"({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}})", "end <= 8"},
        {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 18446744073709551615]}})",
         "two integers"},
        {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})",
         "data_offsets [0, 8], 8 bytes, expected 4 bytes for shape [1] of F32"},
        {R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 8]}})",
         "more bytes than that for shape [4294967296, 4294967296]"},
        {R"({"a": {"dtype": "F32", "shape": [9223372036854775807, 2, 0], "data_offsets": [0, 8]}})",
         "expected 0 bytes"},
        {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
             "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})",
         "tensor b begins at byte 0 of the data, tensor a ends at byte 4: they overlap"},
        {R"({"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
             "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})",
         "tensor b begins at byte 4 of the data, tensor a ends at byte 2: a hole"},
        {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
         "tensor a ends at byte 4 of the data, but 8 bytes follow the header: 4 belong to no"},
        {"{}", "the header ends at byte 0 of the data, but 8 bytes"},
    };
    const TemporaryFolder folder;
    for (const Refusal& refusal : refusals) {
        INFO(refusal.header);
        const auto path =
            folder.write("model.safetensors", safetensors_bytes(refusal.header, eight_bytes));
        CHECK_THROWS_WITH_AS(SafetensorsFile{path}, doctest::Contains(refusal.message.c_str()),
                             EvaluatorError);
    }
}

TEST_CASE("a safetensors file cut at any byte is refused") {
    const TemporaryFolder folder;
    const std::string whole =
        longrope::tests::SafetensorsBuilder{}.add("a", eight_bytes).add("b", eight_bytes).bytes();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        INFO("bytes ", size, " of ", whole.size());
        const auto path = folder.write("model.safetensors", whole.substr(0, size));
        CHECK_THROWS_AS(SafetensorsFile{path}, EvaluatorError);
    }
    const auto path = folder.write("model.safetensors", whole + "x");
    CHECK_THROWS_WITH_AS(SafetensorsFile{path}, doctest::Contains("1 belong to no tensor"),
                         EvaluatorError);
    folder.write("model.safetensors", whole);
    CHECK(SafetensorsFile{path}.tensors().size() == 2);
}

TEST_CASE("a header length beyond the file or the bound is refused before it is read") {
    const TemporaryFolder folder;
    for (const std::string& length :
         {std::string(8, '\xFF'), std::string{"\xFF\xFF\xFF\x7F\0\0\0\0", 8},
          std::string{"\x0B\0\0\0\0\0\0\0", 8}}) {
        const auto path = folder.write("model.safetensors", length + "{}        ");
        CHECK_THROWS_WITH_AS(SafetensorsFile{path}, doctest::Contains("the header claims"),
                             EvaluatorError);
    }
    CHECK_THROWS_WITH_AS(SafetensorsFile{folder.path() / "none.safetensors"},
                         doctest::Contains("none.safetensors: no such file, expected weights"),
                         EvaluatorError);
    CHECK_THROWS_AS(SafetensorsFile{folder.path()}, EvaluatorError);
}
