// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_decoding.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <hdf5_hl.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "coordinator/atomic_file.hpp"
#include "coordinator/history_digest.hpp"
#include "coordinator/history_encoding.hpp"
#include "storage/hdf5_handle.hpp"
#include "tests/coordinator/sample_history.hpp"
#include "tests/evaluator/temporary_folder.hpp"

#ifdef __SANITIZE_ADDRESS__
// LeakSanitizer asks for this: HDF5 1.10 loses a few hundred bytes of its own with most damaged
// files. That we close what we open is checked by HDF5's own count instead.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libhdf5";
}
#endif

using namespace longrope::coordinator;
using longrope::tests::TemporaryFolder;

namespace {

/// What came of reading bytes: the digest of the history, or the message of the refusal.
struct Outcome {
    std::string digest;
    std::string refusal;
};

Outcome read(const std::vector<std::byte>& image) {
    try {
        return {content_digest(decode_history(image, "search.h5")), ""};
    } catch (const HistoryError& error) {
        return {"", error.what()};
    }
}

std::string refusal(const std::vector<std::byte>& image) {
    return read(image).refusal;
}

/// The sample's bytes after `edit` had the file open.
std::vector<std::byte> edited(const std::function<void(hid_t)>& edit) {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    write_file_atomically(file, encode_history(sample_history()));
    {
        const longrope::storage::Hdf5File opened{H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT),
                                                 "open the sample"};
        edit(opened.get());
    }
    return read_whole_file(file).value();
}

void replace(hid_t file, const char* path, hid_t type, const std::vector<hsize_t>& shape) {
    H5Ldelete(file, path, H5P_DEFAULT);
    std::vector<std::byte> zeros(1000);
    H5LTmake_dataset(file, path, static_cast<int>(shape.size()), shape.data(), type, zeros.data());
}

struct Damage {
    const char* what;
    std::function<void(hid_t)> edit;
    const char* message;
};

}  // namespace

TEST_CASE("a foreign, newer or incomplete file is refused with place, found and expected") {
    const std::uint32_t two = 2;
    const std::uint8_t nine = 9;
    const std::vector<Damage> damages{
        {"no format", [](hid_t file) { H5Adelete(file, "format"); },
         "search.h5: HDF5, but no history: found no attribute \"format\""},
        {"foreign format",
         [](hid_t file) {
             H5Adelete(file, "format");
             H5LTset_attribute_string(file, "/", "format", "other");
         },
         "search.h5: /@format: found \"other\", expected \"longrope-history\""},
        {"newer version",
         [&](hid_t file) { H5LTset_attribute_uint(file, "/", "format_version", &two, 1); },
         "search.h5: /@format_version: found "},
        {"missing attribute", [](hid_t file) { H5Adelete(file, "seed"); },
         "search.h5: /@seed: found nothing, expected an attribute of uint64"},
        {"text in place of a number",
         [](hid_t file) {
             H5Adelete(file, "seed");
             H5LTset_attribute_string(file, "/", "seed", "42");
         },
         "search.h5: /@seed: found text of 3 bytes, expected uint64"},
        {"missing group", [](hid_t file) { H5Ldelete(file, "identity", H5P_DEFAULT); },
         "search.h5: /identity: found nothing, expected a group"},
        {"missing dataset", [](hid_t file) { H5Ldelete(file, "stages/2048/factors", H5P_DEFAULT); },
         "search.h5: /stages/2048/factors: found nothing, expected a dataset"},
        {"group in place of a dataset",
         [](hid_t file) {
             H5Ldelete(file, "stages/2048/factors", H5P_DEFAULT);
             H5Gclose(
                 H5Gcreate2(file, "stages/2048/factors", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
         },
         "cannot open dataset /stages/2048/factors"},
        {"other type",
         [](hid_t file) {
             replace(file, "stages/2048/factors", H5T_IEEE_F32LE, {10, 6});
         },
         "/stages/2048/factors: found float32, expected float64"},
        {"other rank",
         [](hid_t file) { replace(file, "stages/2048/factors", H5T_IEEE_F64LE, {60}); },
         "/stages/2048/factors: found 1 dimensions, expected 2"},
        {"fewer rows",
         [](hid_t file) {
             replace(file, "stages/2048/factors", H5T_IEEE_F64LE, {9, 6});
         },
         "/stages/2048/factors: found shape [9, 6], expected 10 rows"},
        {"other columns",
         [](hid_t file) {
             replace(file, "stages/2048/document_nll", H5T_IEEE_F64LE, {10, 2});
         },
         "/stages/2048/document_nll: found shape [10, 2], expected shape [10, 3]"},
        {"no compound",
         [](hid_t file) { replace(file, "stages/2048/evaluations", H5T_IEEE_F64LE, {10}); },
         "/stages/2048/evaluations: found float64, expected a compound of scalars"},
        {"a table of other columns",
         [](hid_t file) {
             const longrope::storage::Hdf5Dataset workers{H5Dopen2(file, "workers", H5P_DEFAULT),
                                                          "open workers"};
             const longrope::storage::Hdf5Type type{H5Dget_type(workers.get()), "its type"};
             replace(file, "stages/2048/evaluations", type.get(), {2});
         },
         "/stages/2048/evaluations: found no column \"individual\", expected one"},
        {"status beyond the legend",
         [&](hid_t file) {
             const longrope::storage::Hdf5Dataset status{
                 H5Dopen2(file, "stages/2048/document_status", H5P_DEFAULT), "open the status"};
             std::vector<std::uint8_t> values(30, nine);
             H5Dwrite(status.get(), H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
         },
         "/stages/2048/document_status: found value 9, expected 0 to 3 (missing, done, not_finite, "
         "skipped)"},
        {"a huge shape",
         [](hid_t file) {
             H5Ldelete(file, "stages/2048/factors", H5P_DEFAULT);
             const hsize_t shape[]{10, 1ULL << 40U};
             const longrope::storage::Hdf5Space space{H5Screate_simple(2, shape, nullptr), "space"};
             H5Dclose(H5Dcreate2(file, "stages/2048/factors", H5T_IEEE_F64LE, space.get(),
                                 H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
         },
         "/stages/2048/factors: found shape [10, 1099511627776], expected at most the file's"},
        {"one value changed",
         [](hid_t file) {
             const longrope::storage::Hdf5Dataset best{
                 H5Dopen2(file, "stages/2048/best/factors", H5P_DEFAULT), "open the best"};
             const std::vector<double> values{1, 1, 1, 1, 1, 1};
             H5Dwrite(best.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
         },
         "/@content_sha256: found values with digest "}};
    for (const Damage& damage : damages) {
        INFO(damage.what);
        const longrope::storage::QuietHdf5 quiet;
        const std::string message = refusal(edited(damage.edit));
        INFO(message);
        CHECK(message.find(damage.message) != std::string::npos);
    }
}

TEST_CASE("what is no HDF5 file is refused in plain words") {
    CHECK(refusal({}) == "search.h5: an empty file, expected a history (HDF5)");
    CHECK(refusal(std::vector<std::byte>(5000, std::byte{'x'})) ==
          "search.h5: not an HDF5 file, expected a history (HDF5)");
    const std::vector<std::byte> image = encode_history(sample_history());
    CHECK(refusal({image.begin(), image.begin() + 1000}) ==
          fmt::format("search.h5: truncated: 1000 of {} bytes are there, expected a history (HDF5)",
                      image.size()));
}

TEST_CASE("a truncated file is refused at every length") {
    const std::vector<std::byte> image = encode_history(sample_history());
    for (std::size_t size = 0; size < image.size(); size += 997) {
        INFO("first ", size, " of ", image.size());
        CHECK_FALSE(
            refusal({image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size)}).empty());
    }
}

TEST_CASE("a flipped bit is refused, or lies where no value is") {
    const std::vector<std::byte> image = encode_history(sample_history({4, 2, 1}));
    const std::string digest = read(image).digest;
    std::size_t refused = 0;
    std::size_t flips = 0;
    for (std::size_t at = 3; at < image.size(); at += 151, ++flips) {
        INFO("byte ", at);
        std::vector<std::byte> flipped = image;
        flipped[at] ^= std::byte{1} << (at % 8);
        const Outcome outcome = read(flipped);
        if (!outcome.refusal.empty()) ++refused;
        CHECK((outcome.digest == digest || !outcome.refusal.empty()));
    }
    CHECK(refused > flips / 3);
}
