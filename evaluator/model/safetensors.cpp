// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"
#include "evaluator/model/json_file.hpp"

namespace longrope::evaluator {

namespace {

namespace json = boost::json;
namespace interprocess = boost::interprocess;

constexpr std::size_t length_bytes = 8;
// The bound of the reference implementation, against headers that swallow the memory.
constexpr std::uint64_t largest_header = 100'000'000;

struct Extent {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::string tensor;
};

std::uint64_t read_length(std::span<const std::byte> bytes) {
    std::uint64_t length = 0;
    for (std::size_t i = length_bytes; i-- > 0;) {
        length = (length << 8U) | std::to_integer<std::uint64_t>(bytes[i]);
    }
    return length;
}

/// One entry of the header: {"dtype": "F16", "shape": [2048, 128], "data_offsets": [0, 524288]}.
class Entry {
public:
    Entry(const std::filesystem::path& file, std::string_view name, const json::value& value)
        : where_{fmt::format("{}: tensor {}", file.string(), name)} {
        if (std::ranges::any_of(name, [](unsigned char c) { return c < 0x20; })) {
            throw EvaluatorError{
                fmt::format("{}: header: found the tensor name {}, expected one "
                            "without control characters",
                            file.string(), shown(json::value(name)))};
        }
        if (!value.is_object()) refuse(shown(value), "a JSON object");
        object_ = &value.get_object();
    }

    [[nodiscard]] DataType type() const {
        const json::value& value = member("dtype");
        for (const DataType type : {DataType::f32, DataType::f16, DataType::bf16}) {
            if (value == data_type_name(type)) return type;
        }
        refuse("dtype " + shown(value), "\"F32\", \"F16\" or \"BF16\"");
    }

    [[nodiscard]] std::vector<std::int64_t> shape() const {
        const json::value& value = member("shape");
        if (!value.is_array()) refuse("shape " + shown(value), "an array of sizes");
        std::vector<std::int64_t> sizes;
        for (const json::value& item : value.get_array()) {
            if (!item.is_int64() || item.get_int64() < 0) {
                refuse("shape " + shown(value), "sizes that are integers of at least 0");
            }
            sizes.push_back(item.get_int64());
        }
        return sizes;
    }

    /// @returns begin and end, relative to the end of the header
    [[nodiscard]] Extent extent(std::uint64_t data_size) const {
        const json::value& value = member("data_offsets");
        const json::array* offsets = value.if_array();
        if (offsets == nullptr || offsets->size() != 2 || !(*offsets)[0].is_int64() ||
            !(*offsets)[1].is_int64()) {
            refuse("data_offsets " + shown(value), "two integers, begin and end");
        }
        const std::int64_t begin = (*offsets)[0].get_int64();
        const std::int64_t end = (*offsets)[1].get_int64();
        if (begin < 0 || begin > end || static_cast<std::uint64_t>(end) > data_size) {
            const bool beyond = begin >= 0 && begin <= end;
            refuse("data_offsets " + shown(value),
                   fmt::format("0 <= begin <= end <= {}, the bytes after the header{}", data_size,
                               beyond ? ": a truncated file? Get it again" : ""));
        }
        return {static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end), ""};
    }

    /// Refuses an extent that is not product(shape) * element size bytes; the product may be far
    /// beyond 64 bits in a damaged header.
    void check_size(const Extent& extent, DataType type,
                    const std::vector<std::int64_t>& shape) const {
        const std::uint64_t found = extent.end - extent.begin;
        const auto mismatch = [&](const std::string& needed) {
            refuse(fmt::format("data_offsets [{}, {}], {} bytes", extent.begin, extent.end, found),
                   fmt::format("{} for shape [{}] of {}", needed, fmt::join(shape, ", "),
                               data_type_name(type)));
        };
        std::uint64_t needed = element_size(type);
        if (std::ranges::find(shape, 0) != shape.end()) needed = 0;
        for (const std::int64_t size : shape) {
            if (needed == 0) break;
            if (static_cast<std::uint64_t>(size) > found / needed) {
                mismatch("more bytes than that");
            }
            needed *= static_cast<std::uint64_t>(size);
        }
        if (needed != found) mismatch(fmt::format("{} bytes", needed));
    }

private:
    [[nodiscard]] const json::value& member(std::string_view key) const {
        const json::value* value = object_->if_contains(key);
        if (value == nullptr) refuse("no " + std::string{key}, "dtype, shape and data_offsets");
        return *value;
    }

    [[noreturn]] void refuse(const std::string& found, const std::string& expected) const {
        throw EvaluatorError{fmt::format("{}: found {}, expected {}", where_, found, expected)};
    }

    std::string where_;
    const json::object* object_ = nullptr;
};

/// Refuses extents that overlap or leave bytes which belong to no tensor.
void check_tiling(const std::filesystem::path& file, std::vector<Extent> extents,
                  std::uint64_t data_size) {
    std::ranges::sort(extents, [](const Extent& a, const Extent& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    std::uint64_t covered = 0;
    std::string before = "the header";
    for (const Extent& extent : extents) {
        if (extent.begin != covered) {
            throw EvaluatorError{fmt::format(
                "{}: tensor {} begins at byte {} of the data, {} ends at byte {}: {}, expected "
                "tensors that lie end to end: get the file again",
                file.string(), extent.tensor, extent.begin, before, covered,
                extent.begin < covered ? "they overlap" : "a hole between them")};
        }
        covered = extent.end;
        before = "tensor " + extent.tensor;
    }
    if (covered != data_size) {
        throw EvaluatorError{fmt::format(
            "{}: {} ends at byte {} of the data, but {} bytes follow the header: {} belong to no "
            "tensor: get the file again",
            file.string(), before, covered, data_size, data_size - covered)};
    }
}

}  // namespace

struct SafetensorsFile::Mapping {
    explicit Mapping(const std::filesystem::path& file)
        : mapping{file.c_str(), interprocess::read_only},
          region{mapping, interprocess::read_only},
          opened{state()} {}

    /// The file's size and time of the last write, whatever its name has become.
    /// @throws EvaluatorError if the system does not tell, as a file server that has lost the file
    [[nodiscard]] struct stat state() const {
        struct stat found {};
        if (::fstat(mapping.get_mapping_handle().handle, &found) == 0) return found;
        throw EvaluatorError{fmt::format("{}: cannot be looked at while it is mapped: {}",
                                         mapping.get_name(), std::strerror(errno))};
    }

    interprocess::file_mapping mapping;
    interprocess::mapped_region region;
    struct stat opened;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : path_{file} {
    const std::uintmax_t size = size_of_input(file, "weights in the safetensors format");
    if (size < length_bytes) {
        throw EvaluatorError{
            fmt::format("{}: {} bytes, expected a safetensors file, which begins "
                        "with {} bytes of header length: get it again",
                        file.string(), size, length_bytes)};
    }
    try {
        mapping_ = std::make_unique<Mapping>(file);
    } catch (const interprocess::interprocess_exception& failure) {
        throw EvaluatorError{
            fmt::format("{}: cannot be mapped: {}", file.string(), failure.what())};
    }
    const std::span<const std::byte> bytes{
        static_cast<const std::byte*>(mapping_->region.get_address()), mapping_->region.get_size()};
    const std::uint64_t header_size = read_length(bytes);
    if (header_size > largest_header || header_size > bytes.size() - length_bytes) {
        throw EvaluatorError{fmt::format(
            "{}: the header claims {} bytes, expected at most {} (the file has {} bytes): not a "
            "safetensors file, or a truncated one: get it again",
            file.string(), header_size,
            std::min<std::uint64_t>(largest_header, bytes.size() - length_bytes), bytes.size())};
    }
    header_ = bytes.subspan(length_bytes, static_cast<std::size_t>(header_size));
    data_ = bytes.subspan(length_bytes + header_.size());

    const std::string text(reinterpret_cast<const char*>(header_.data()), header_.size());
    const json::object entries = parse_json_object(text, fmt::format("{}: header", file.string()));
    std::vector<Extent> extents;
    for (const auto& [key, value] : entries) {
        if (key == "__metadata__") continue;
        const Entry entry{file, key, value};
        TensorView view{
            .name = std::string{key}, .type = entry.type(), .shape = entry.shape(), .bytes = {}};
        Extent extent = entry.extent(data_.size());
        entry.check_size(extent, view.type, view.shape);
        view.bytes = data_.subspan(static_cast<std::size_t>(extent.begin),
                                   static_cast<std::size_t>(extent.end - extent.begin));
        view.file = mapping_->mapping.get_mapping_handle().handle;
        view.file_offset = bytes.size() - data_.size() + extent.begin;
        extent.tensor = view.name;
        extents.push_back(std::move(extent));
        tensors_.emplace(view.name, std::move(view));
    }
    check_tiling(file, std::move(extents), data_.size());
}

void SafetensorsFile::release_pages() const noexcept {
    // Boost asks by posix_madvise, which does nothing for this advice in glibc.
    if (mapping_) {
        ::madvise(mapping_->region.get_address(), mapping_->region.get_size(), MADV_DONTNEED);
    }
}

void SafetensorsFile::check_unchanged() const {
    const struct stat& before = mapping_->opened;
    const struct stat now = mapping_->state();
    if (now.st_size == before.st_size && now.st_mtim.tv_sec == before.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == before.st_mtim.tv_nsec) {
        return;
    }
    throw EvaluatorError{fmt::format(
        "{}: was written to while an evaluator read its weights ({} bytes then, {} now): write "
        "another model to another folder",
        path_.string(), before.st_size, now.st_size)};
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

}  // namespace longrope::evaluator
