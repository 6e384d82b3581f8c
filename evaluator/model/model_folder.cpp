// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/model_folder.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "evaluator/digest.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"
#include "evaluator/model/json_file.hpp"
#include "evaluator/model/safetensors.hpp"

namespace longrope::evaluator {

namespace {

namespace json = boost::json;

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";
constexpr const char* remedy = "get the model's files again";
constexpr std::uintmax_t largest_index_bytes = 64U << 20U;

// A digest reads the beginning, the middle and the end of each tensor: training and merging change
// whole tensors, and no start-up waits for 140 GB.
constexpr std::size_t block_bytes = 4096;

using WeightMap = std::map<std::string, std::string>;  // tensor -> shard

/// A shard is a plain file name: an index must not reach outside its folder.
bool is_plain_name(std::string_view name) {
    constexpr std::string_view suffix = ".safetensors";
    return name.size() > suffix.size() && name.ends_with(suffix) && name.front() != '.' &&
           name.find_first_of(std::string_view{"/\\\0", 3}) == std::string_view::npos;
}

WeightMap parse_weight_map(const std::string& text, const std::filesystem::path& index) {
    const json::object object = parse_json_object(text, index.string());
    const json::value* map = object.if_contains("weight_map");
    if (map == nullptr || !map->is_object() || map->get_object().empty()) {
        throw EvaluatorError{
            fmt::format("{}: weight_map {}, expected an object that names the shard of each tensor",
                        index.string(), map == nullptr ? "is missing" : "= " + shown(*map))};
    }
    WeightMap shards;
    for (const auto& [tensor, shard] : map->get_object()) {
        if (!shard.is_string() || !is_plain_name(shard.get_string())) {
            throw EvaluatorError{fmt::format(
                "{}: tensor {} lies in {}, expected the name of a .safetensors file of the same "
                "folder",
                index.string(), std::string_view{tensor}, shown(shard))};
        }
        shards.emplace(tensor, shard.get_string());
    }
    return shards;
}

void hash_samples(Sha256& digest, std::span<const std::byte> tensor) {
    if (tensor.size() <= 3 * block_bytes) {
        digest.bytes(tensor);
        return;
    }
    const std::size_t last = tensor.size() - block_bytes;
    for (const std::size_t offset : {std::size_t{0}, last / 2, last}) {
        digest.bytes(tensor.subspan(offset, block_bytes));
    }
}

}  // namespace

struct ModelFolder::Contents {
    std::filesystem::path folder;
    ModelConfig config;
    std::string config_text;
    std::string index_text;              // empty: one file, model.safetensors
    std::vector<SafetensorsFile> files;  // ascending by name
    std::map<std::string, const TensorView*> tensors;

    void open_single() {
        files.emplace_back(folder / single_name);
        for (const auto& [name, view] : files.front().tensors()) tensors.emplace(name, &view);
    }

    void open_shards() {
        const std::filesystem::path index = folder / index_name;
        index_text = read_text_file(index, largest_index_bytes);
        const WeightMap weight_map = parse_weight_map(index_text, index);
        std::set<std::string> names;
        for (const auto& [tensor, shard] : weight_map) names.insert(shard);
        files.reserve(names.size());  // views point into elements: no reallocation from here on
        std::map<std::string, const SafetensorsFile*> by_name;
        for (const std::string& name : names) {
            if (!is_there(folder / name)) {
                throw EvaluatorError{fmt::format("{}: shard {} is missing from {}: {}",
                                                 index.string(), name, folder.string(), remedy)};
            }
            by_name.emplace(name, &files.emplace_back(folder / name));
        }
        for (const auto& [tensor, shard] : weight_map) {
            const auto& stored = by_name.at(shard)->tensors();
            const auto found = stored.find(tensor);
            if (found == stored.end()) {
                throw EvaluatorError{
                    fmt::format("{}: tensor {} should lie in {}, which has {} other tensors: {}",
                                index.string(), tensor, shard, stored.size(), remedy)};
            }
            tensors.emplace(tensor, &found->second);
        }
    }
};

ModelFolder::ModelFolder(const std::filesystem::path& folder)
    : contents_{std::make_unique<Contents>()} {
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) {
        throw EvaluatorError{fmt::format(
            "{}: not a folder, expected a Hugging Face model folder with config.json and {}",
            folder.empty() ? "\"\"" : folder.string(), single_name)};
    }
    contents_->folder = folder;
    contents_->config_text = read_config_text(folder);  // once: the digest is of what is computed
    contents_->config = parse_model_config(contents_->config_text, folder);
    if (is_there(folder / single_name)) {  // the order that transformers uses
        contents_->open_single();
    } else if (is_there(folder / index_name)) {
        contents_->open_shards();
    } else {
        throw EvaluatorError{fmt::format(
            "{}: neither {} nor {} is there, expected weights in the safetensors format",
            folder.string(), single_name, index_name)};
    }
}

ModelFolder::ModelFolder(ModelFolder&&) noexcept = default;
ModelFolder& ModelFolder::operator=(ModelFolder&&) noexcept = default;
ModelFolder::~ModelFolder() = default;

const ModelConfig& ModelFolder::config() const noexcept {
    return contents_->config;
}

const std::filesystem::path& ModelFolder::folder() const noexcept {
    return contents_->folder;
}

bool ModelFolder::has_tensor(const std::string& name) const {
    return contents_->tensors.contains(name);
}

std::vector<std::string> ModelFolder::tensor_names() const {
    std::vector<std::string> names;
    for (const auto& [name, view] : contents_->tensors) names.push_back(name);
    return names;
}

TensorView ModelFolder::tensor(const std::string& name,
                               std::initializer_list<std::int64_t> shape) const {
    const auto found = contents_->tensors.find(name);
    if (found == contents_->tensors.end()) {
        throw EvaluatorError{fmt::format("{}: tensor {} is missing, expected shape [{}]",
                                         contents_->folder.string(), name, fmt::join(shape, ", "))};
    }
    const TensorView& view = *found->second;
    if (!std::ranges::equal(view.shape, shape)) {
        throw EvaluatorError{fmt::format(
            "{}: tensor {} has shape [{}], expected [{}] by config.json",
            contents_->folder.string(), name, fmt::join(view.shape, ", "), fmt::join(shape, ", "))};
    }
    return view;
}

std::uint64_t ModelFolder::file_bytes() const noexcept {
    std::uint64_t total = 0;
    for (const SafetensorsFile& file : contents_->files) {
        total += file.header().size() + file.data().size();
    }
    return total;
}

std::uint64_t ModelFolder::stored_weight_bytes() const noexcept {
    std::uint64_t widest = 0;
    for (const auto& [name, tensor] : contents_->tensors) {
        widest = std::max<std::uint64_t>(widest, element_size(tensor->type));
    }
    return widest;
}

void ModelFolder::release_pages() const noexcept {
    for (const SafetensorsFile& file : contents_->files) file.release_pages();
}

void ModelFolder::check_unchanged() const {
    for (const SafetensorsFile& file : contents_->files) file.check_unchanged();
}

std::string ModelFolder::digest() const {
    Sha256 digest;
    digest.text("longrope model 2").text(contents_->config_text).text(contents_->index_text);
    digest.number(contents_->files.size());
    for (const SafetensorsFile& file : contents_->files) {
        digest.number(file.header().size()).bytes(file.header());
        for (const auto& [name, tensor] : file.tensors()) {
            hash_samples(digest, tensor.bytes);
            file.release_pages();  // three blocks, but the system maps more around each
        }
    }
    return digest.hexadecimal();
}

}  // namespace longrope::evaluator
