// SPDX-License-Identifier: Apache-2.0
#include "cli/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "coordinator/utf8_text.hpp"

namespace longrope::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t line_width = 100;
constexpr std::size_t step = 2;

std::string spelled(double value) {
    if (!std::isfinite(value)) return "null";  // JSON has no other word for it
    std::string text = fmt::format("{}", value);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";  // it stays a real number
    return text;
}

std::string scalar(const json::value& value) {
    return value.is_double() ? spelled(value.get_double()) : json::serialize(value);
}

class Printer {
public:
    void print(const json::value& value, std::size_t indent) {
        if (value.is_object()) {
            object(value.get_object(), indent);
        } else if (value.is_array()) {
            array(value.get_array(), indent);
        } else {
            text += scalar(value);
        }
    }

    std::string text;

private:
    void new_line(std::size_t indent) {
        text += '\n';
        text.append(indent, ' ');
    }

    void object(const json::object& object, std::size_t indent) {
        text += '{';
        bool first = true;
        for (const auto& [key, value] : object) {
            if (!std::exchange(first, false)) text += ',';
            new_line(indent + step);
            text += json::serialize(json::value(key)) + ": ";
            print(value, indent + step);
        }
        if (!object.empty()) new_line(indent);
        text += '}';
    }

    void array(const json::array& array, std::size_t indent) {
        if (std::ranges::all_of(array, &json::value::is_number)) {
            numbers(array, indent);
            return;
        }
        text += '[';
        for (std::size_t i = 0; i < array.size(); ++i) {
            if (i > 0) text += ',';
            new_line(indent + step);
            print(array[i], indent + step);
        }
        new_line(indent);
        text += ']';
    }

    void numbers(const json::array& array, std::size_t indent) {
        std::string whole = "[";
        for (std::size_t i = 0; i < array.size(); ++i) {
            if (i > 0) whole += ", ";
            whole += scalar(array[i]);
        }
        whole += ']';
        if (indent + whole.size() <= line_width) {
            text += whole;
            return;
        }
        text += '[';
        std::size_t column = line_width;
        for (std::size_t i = 0; i < array.size(); ++i) {
            const std::string item = scalar(array[i]) + (i + 1 < array.size() ? "," : "");
            if (column + 1 + item.size() > line_width) {
                new_line(indent + step);
                column = indent + step;
            } else {
                text += ' ';
                ++column;
            }
            text += item;
            column += item.size();
        }
        new_line(indent);
        text += ']';
    }
};

}  // namespace

std::string json_text(const boost::json::value& value) {
    Printer printer;
    printer.print(value, 0);
    return printer.text + "\n";
}

std::string json_line(const boost::json::value& value) {
    return coordinator::storable_text(json::serialize(value)) + "\n";
}

}  // namespace longrope::cli
