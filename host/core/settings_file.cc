#include "core/settings_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include <boost/program_options/errors.hpp>
#include <boost/program_options/option.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>

#include "core/settings_text.h"

namespace imctl::host {
namespace {

// Boost parses the file, but forgets the lines, cuts values at any '#' and trims what was quoted.
// So each value travels as `LINE "TEXT"`, its '#' as a control character that a config may not
// hold.
constexpr char kHash = '\x01';

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Up to a '#' that a blank precedes.
std::string_view without_comment(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && (i == 0 || is_blank(text[i - 1]))) return trim(text.substr(0, i));
  }
  return trim(text);
}

// The text of a value that starts with a quote; nothing if it is not well formed.
std::optional<std::string> unquote(std::string_view value) {
  std::string text;
  for (size_t i = 1; i < value.size(); ++i) {
    if (value[i] == '"') {
      // The quote counts as a blank: a comment may follow at once.
      if (!without_comment(value.substr(i + 1)).empty()) return std::nullopt;
      return text;
    }
    if (value[i] == '\\') {
      ++i;
      if (i == value.size() || (value[i] != '"' && value[i] != '\\')) return std::nullopt;
    }
    text += value[i];
  }
  return std::nullopt;
}

// Turns each line of a config into what Boost is to see of it.
class Preparer {
 public:
  explicit Preparer(const std::string& name) : name_(name) {}

  Status line(std::string_view raw) {
    ++line_;
    if (std::any_of(raw.begin(), raw.end(),
                    [](char c) { return c != '\t' && c >= 0 && c < ' '; })) {
      return error("has a control character; remove it");
    }
    std::string_view text = trim(raw);
    if (text.empty() || text.front() == '#' || text.front() == ';') return {};
    if (text.front() == '[') return header(without_comment(text));
    return entry(text);
  }

  std::string prepared;
  std::map<std::string, int> sections;

 private:
  Status error(const std::string& what) const {
    return {IMCTL_INVALID_ARGUMENT, name_ + ":" + std::to_string(line_) + ": " + what};
  }

  Status header(std::string_view text) {
    if (text.back() != ']') return error("a section is written [name]: the closing ] is missing");
    std::string_view section = trim(text.substr(1, text.size() - 2));
    if (!is_name(section)) {
      return error("a section's name is of letters, digits, - and _, like [host]");
    }
    sections.emplace(section, line_);
    prepared += "[" + std::string(section) + "]\n";
    return {};
  }

  Status entry(std::string_view text) {
    size_t equals = text.find('=');
    std::string_view key = trim(text.substr(0, equals));
    if (equals == std::string_view::npos || !is_name(key)) {
      return error("is neither `key = value` nor [section] nor a comment (#)");
    }
    if (sections.empty()) {
      return error("`" + std::string(key) +
                   "` stands before any [section]; put it below the section that it belongs to");
    }
    std::string_view rest = text.substr(equals + 1);
    std::string value(without_comment(rest));
    if (!value.empty() && value.front() == '"') {
      auto unquoted = unquote(trim(rest));
      if (!unquoted) {
        return error("`" + std::string(key) +
                     "`: a quoted value ends with \" and has \\\" and \\\\ for \" and \\");
      }
      value = *std::move(unquoted);
    }
    std::replace(value.begin(), value.end(), '#', kHash);
    prepared += std::string(key) + " = " + std::to_string(line_) + " \"" + value + "\"\n";
    return {};
  }

  const std::string& name_;
  int line_ = 0;
};

SettingsFile::Entry to_entry(const boost::program_options::option& option) {
  size_t dot = option.string_key.rfind('.');
  const std::string& carried = option.value.front();
  size_t quote = carried.find('"');
  SettingsFile::Entry entry;
  entry.section = option.string_key.substr(0, dot);
  entry.key = option.string_key.substr(dot + 1);
  entry.line = std::stoi(carried);
  entry.text = carried.substr(quote + 1, carried.size() - quote - 2);
  std::replace(entry.text.begin(), entry.text.end(), kHash, '#');
  return entry;
}

}  // namespace

Result<SettingsFile> parse_settings(const std::string& content, const std::string& name) {
  Preparer preparer(name);
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::istringstream lines(content.compare(0, kByteOrderMark.size(), kByteOrderMark) == 0
                               ? content.substr(kByteOrderMark.size())
                               : content);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    Status status = preparer.line(line);
    if (!status.ok()) return status;
  }

  SettingsFile file;
  file.sections = std::move(preparer.sections);
  std::istringstream prepared(preparer.prepared);
  try {
    boost::program_options::options_description none;
    auto parsed = boost::program_options::parse_config_file(prepared, none, true);
    file.entries.reserve(parsed.options.size());
    for (const auto& option : parsed.options) file.entries.push_back(to_entry(option));
  } catch (const boost::program_options::error& error) {
    return Status(IMCTL_INVALID_ARGUMENT, name + ": " + error.what());
  }
  return file;
}

Result<SettingsFile> read_settings_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  // A folder opens but does not read.
  bool opened = stream.is_open();
  if (opened) stream.peek();
  if (!opened || stream.bad()) {
    int reason = errno;
    return Status(IMCTL_NOT_FOUND, "cannot read the config file " + path + ": " +
                                       std::strerror(reason) + "; name another with --config");
  }
  std::ostringstream content;
  content << stream.rdbuf();
  return parse_settings(content.str(), path);
}

}  // namespace imctl::host
