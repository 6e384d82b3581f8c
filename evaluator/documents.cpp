// SPDX-License-Identifier: Apache-2.0
#include "evaluator/documents.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "evaluator/digest.hpp"
#include "evaluator/evaluator.hpp"
#include "storage/hdf5_handle.hpp"

namespace longrope::evaluator {

namespace {

using storage::check_hdf5;
using storage::Hdf5Attribute;
using storage::Hdf5Dataset;
using storage::Hdf5File;
using storage::Hdf5PropertyList;
using storage::Hdf5Space;
using storage::Hdf5Type;

constexpr std::int64_t newest_format = 1;
constexpr std::size_t longest_title = 4096;
// Deflate, HDF5's filter, shrinks at most 1032 times: a dataset that claims more is damaged, and
// its memory must not be allocated.
constexpr std::uintmax_t largest_compression = 1032;

/// Which HDF5 integers a dataset may hold.
struct IntegerType {
    hid_t native;
    std::size_t size;
    H5T_sign_t sign;
    const char* name;
};

/// The open file, read dataset by dataset. Messages begin with the file's name.
class Reader {
public:
    explicit Reader(const std::filesystem::path& path)
        : path_{path.string()}, file_{open(path)}, size_{std::filesystem::file_size(path)} {}

    template <typename Value>
    [[nodiscard]] std::vector<Value> integers(const char* name, const IntegerType& expected) const {
        const Hdf5Dataset dataset = open_dataset(name);
        const Hdf5Type type{H5Dget_type(dataset.get()), fmt::format("read the type of {}", name)};
        if (H5Tget_class(type.get()) != H5T_INTEGER || H5Tget_size(type.get()) != expected.size ||
            H5Tget_sign(type.get()) != expected.sign) {
            refuse(fmt::format("dataset {} has another type, expected {}", name, expected.name));
        }
        std::vector<Value> values(length(dataset, name, sizeof(Value)));
        read(dataset, expected.native, values.data(), name);
        return values;
    }

    [[nodiscard]] std::vector<std::string> strings(const char* name) const {
        const Hdf5Dataset dataset = open_dataset(name);
        const Hdf5Type type{H5Dget_type(dataset.get()), fmt::format("read the type of {}", name)};
        if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0) {
            refuse(fmt::format("dataset {} has another type, expected fixed-length UTF-8", name));
        }
        const std::size_t width = H5Tget_size(type.get());
        if (width == 0 || width > longest_title) {
            refuse(fmt::format("dataset {} has strings of {} bytes, expected 1 to {}", name, width,
                               longest_title));
        }
        std::vector<char> text(length(dataset, name, width) * width);
        read(dataset, type.get(), text.data(), name);
        const bool spaces = H5Tget_strpad(type.get()) == H5T_STR_SPACEPAD;
        std::vector<std::string> values;
        for (std::size_t begin = 0; begin < text.size(); begin += width) {
            std::string value{text.data() + begin, width};
            value.erase(std::min(value.find('\0'), value.size()));
            while (spaces && value.ends_with(' ')) value.pop_back();
            values.push_back(std::move(value));
        }
        return values;
    }

    [[nodiscard]] std::int64_t integer_attribute(const char* name) const {
        const std::string intent = fmt::format("read attribute {}", name);
        if (check_hdf5(H5Aexists(file_.get(), name), intent) == 0) {
            refuse(fmt::format("attribute {} is missing, expected an integer", name));
        }
        const Hdf5Attribute attribute{H5Aopen(file_.get(), name, H5P_DEFAULT), intent};
        const Hdf5Type type{H5Aget_type(attribute.get()), intent};
        const Hdf5Space space{H5Aget_space(attribute.get()), intent};
        if (H5Tget_class(type.get()) != H5T_INTEGER ||
            H5Sget_simple_extent_npoints(space.get()) != 1) {
            refuse(fmt::format("attribute {} has another type, expected one integer", name));
        }
        std::int64_t value = 0;
        check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), intent);
        return value;
    }

    [[noreturn]] void refuse(const std::string& what) const {
        throw EvaluatorError{fmt::format("{}: {}", path_, what)};
    }

private:
    static Hdf5File open(const std::filesystem::path& path) {
        const Hdf5PropertyList access{H5Pcreate(H5P_FILE_ACCESS), "create a property list"};
        // Read-only by every evaluator at once, often on file systems without locks.
        check_hdf5(H5Pset_file_locking(access.get(), false, true), "switch file locks off");
        return Hdf5File{H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), "open the documents"};
    }

    [[nodiscard]] Hdf5Dataset open_dataset(const char* name) const {
        if (H5Lexists(file_.get(), name, H5P_DEFAULT) <= 0) {
            refuse(
                fmt::format("dataset {} is missing, expected the datasets tokens, offsets, "
                            "titles and split",
                            name));
        }
        return {H5Dopen2(file_.get(), name, H5P_DEFAULT), fmt::format("open dataset {}", name)};
    }

    [[nodiscard]] std::size_t length(const Hdf5Dataset& dataset, const char* name,
                                     std::size_t element_bytes) const {
        const std::string intent = fmt::format("read the shape of {}", name);
        const Hdf5Space space{H5Dget_space(dataset.get()), intent};
        const int dimensions = H5Sget_simple_extent_ndims(space.get());
        if (dimensions != 1) {
            refuse(fmt::format("dataset {} has {} dimensions, expected 1", name, dimensions));
        }
        hsize_t count = 0;
        check_hdf5(H5Sget_simple_extent_dims(space.get(), &count, nullptr), intent);
        if (count > size_ * largest_compression / element_bytes) {
            refuse(fmt::format("dataset {} claims {} values of {} bytes, but the file has {} bytes",
                               name, count, element_bytes, size_));
        }
        return static_cast<std::size_t>(count);
    }

    static void read(const Hdf5Dataset& dataset, hid_t type, void* values, const char* name) {
        check_hdf5(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values),
                   fmt::format("read dataset {}", name));
    }

    std::string path_;
    Hdf5File file_;
    std::uintmax_t size_;
};

void check_offsets(const Reader& reader, const std::vector<std::int64_t>& offsets,
                   std::size_t tokens) {
    if (offsets.size() < 2) {
        reader.refuse(fmt::format(
            "dataset offsets has {} values, expected one more than the documents, at least 2",
            offsets.size()));
    }
    if (offsets.size() - 1 > std::numeric_limits<std::uint32_t>::max()) {
        reader.refuse(fmt::format("{} documents, expected at most {}", offsets.size() - 1,
                                  std::numeric_limits<std::uint32_t>::max()));
    }
    if (offsets.front() != 0) {
        reader.refuse(fmt::format("offsets[0] = {}, expected 0", offsets.front()));
    }
    const auto descent = std::ranges::adjacent_find(offsets, std::ranges::greater_equal{});
    if (descent != offsets.end()) {
        const auto index = descent - offsets.begin();
        reader.refuse(
            fmt::format("offsets[{}] = {} after offsets[{}] = {}, expected offsets that "
                        "ascend",
                        index + 1, descent[1], index, descent[0]));
    }
    if (static_cast<std::uint64_t>(offsets.back()) != tokens) {
        reader.refuse(fmt::format("offsets[{}] = {}, expected {}, the number of tokens",
                                  offsets.size() - 1, offsets.back(), tokens));
    }
}

std::vector<Split> checked_splits(const Reader& reader, const std::vector<std::uint8_t>& codes) {
    std::vector<Split> splits;
    for (const std::uint8_t code : codes) {
        if (code > static_cast<std::uint8_t>(Split::validation)) {
            reader.refuse(
                fmt::format("split[{}] = {}, expected 0 (search), 1 (heldout) or 2 (validation)",
                            splits.size(), code));
        }
        splits.push_back(static_cast<Split>(code));
    }
    return splits;
}

}  // namespace

const char* split_name(Split split) noexcept {
    switch (split) {
        case Split::search:
            return "search";
        case Split::heldout:
            return "heldout";
        case Split::validation:
            return "validation";
    }
    return "unknown";
}

Documents::Documents(const std::filesystem::path& file) : file_{file} {
    const storage::QuietHdf5 quiet;  // the message says it
    try {
        const Reader reader{file};
        const std::int64_t version = reader.integer_attribute("format_version");
        if (version < 1 || version > newest_format) {
            reader.refuse(fmt::format("format_version = {}, expected 1 to {}{}", version,
                                      newest_format,
                                      version > newest_format ? ": a newer program wrote it" : ""));
        }
        const std::int64_t bos = reader.integer_attribute("bos_token_id");
        if (bos < -1 || bos > std::numeric_limits<std::int32_t>::max()) {
            reader.refuse(fmt::format("bos_token_id = {}, expected a token, or -1 for none", bos));
        }
        bos_token_id_ = static_cast<std::int32_t>(bos);
        tokens_ = reader.integers<std::int32_t>(
            "tokens", {H5T_NATIVE_INT32, sizeof(std::int32_t), H5T_SGN_2, "int32"});
        offsets_ = reader.integers<std::int64_t>(
            "offsets", {H5T_NATIVE_INT64, sizeof(std::int64_t), H5T_SGN_2, "int64"});
        check_offsets(reader, offsets_, tokens_.size());
        titles_ = reader.strings("titles");
        splits_ = checked_splits(
            reader, reader.integers<std::uint8_t>(
                        "split", {H5T_NATIVE_UINT8, sizeof(std::uint8_t), H5T_SGN_NONE, "uint8"}));
        for (const auto& [name, found] :
             {std::pair{"titles", titles_.size()}, std::pair{"split", splits_.size()}}) {
            if (found != count()) {
                reader.refuse(fmt::format("dataset {} has {} values, expected {}, one per document",
                                          name, found, count()));
            }
        }
    } catch (const storage::StorageError& error) {
        throw EvaluatorError{fmt::format("{}: {}", file.string(), error.what())};
    } catch (const std::filesystem::filesystem_error& error) {
        throw EvaluatorError{
            fmt::format("{}: cannot be read: {}", file.string(), error.code().message())};
    }

    Sha256 digest;
    digest.text("longrope documents 1").number(static_cast<std::uint64_t>(bos_token_id_ + 1LL));
    digest.number(count());
    digest.bytes(std::as_bytes(std::span{offsets_}));
    digest.bytes(std::as_bytes(std::span{splits_}));
    digest.bytes(std::as_bytes(std::span{tokens_}));
    digest_ = digest.hexadecimal();
}

std::uint32_t Documents::count() const noexcept {
    return static_cast<std::uint32_t>(offsets_.size() - 1);
}

void Documents::check_index(std::uint32_t document) const {
    if (document < count()) return;
    throw EvaluatorError{fmt::format("{}: document {} does not exist, expected 0 to {}",
                                     file_.string(), document, count() - 1)};
}

std::span<const std::int32_t> Documents::tokens(std::uint32_t document) const {
    check_index(document);
    const auto begin = static_cast<std::size_t>(offsets_[document]);
    const auto end = static_cast<std::size_t>(offsets_[document + 1U]);
    return std::span{tokens_}.subspan(begin, end - begin);
}

const std::string& Documents::title(std::uint32_t document) const {
    check_index(document);
    return titles_[document];
}

Split Documents::split(std::uint32_t document) const {
    check_index(document);
    return splits_[document];
}

std::vector<std::uint32_t> Documents::of_split(Split split) const {
    std::vector<std::uint32_t> found;
    for (std::uint32_t document = 0; document < count(); ++document) {
        if (splits_[document] == split) found.push_back(document);
    }
    return found;
}

std::uint64_t Documents::positions(std::uint32_t document) const {
    return tokens(document).size() + (bos_token_id_ >= 0 ? 1U : 0U);
}

std::vector<std::int32_t> Documents::input(std::uint32_t document, std::uint64_t positions) const {
    const std::span<const std::int32_t> stored = tokens(document);
    if (positions > this->positions(document)) {
        throw EvaluatorError{
            fmt::format("{}: document {} (\"{}\", {}) fills {} positions, but {} are asked for",
                        file_.string(), document, title(document), split_name(split(document)),
                        this->positions(document), positions)};
    }
    std::vector<std::int32_t> input;
    input.reserve(static_cast<std::size_t>(positions));
    if (bos_token_id_ >= 0 && positions > 0) input.push_back(bos_token_id_);
    const auto rest = static_cast<std::ptrdiff_t>(positions - input.size());
    input.insert(input.end(), stored.begin(), stored.begin() + rest);
    return input;
}

void Documents::check_vocabulary(std::uint32_t vocabulary) const {
    const auto outside = [vocabulary](std::int32_t token) {
        return token < 0 || static_cast<std::uint32_t>(token) >= vocabulary;
    };
    if (bos_token_id_ >= 0 && outside(bos_token_id_)) {
        throw EvaluatorError{fmt::format(
            "{}: bos_token_id = {}, expected a token in [0, {}), the model's vocabulary",
            file_.string(), bos_token_id_, vocabulary)};
    }
    const auto found = std::ranges::find_if(tokens_, outside);
    if (found == tokens_.end()) return;
    const std::int64_t index = found - tokens_.begin();
    const auto after = std::ranges::upper_bound(offsets_, index);
    const auto document = static_cast<std::uint32_t>(after - offsets_.begin() - 1);
    throw EvaluatorError{fmt::format(
        "{}: document {} (\"{}\") has token {} at index {}, expected [0, {}), the model's "
        "vocabulary: was it made with another tokeniser?",
        file_.string(), document, titles_[document], *found, index - offsets_[document],
        vocabulary)};
}

}  // namespace longrope::evaluator
