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

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Up to a '#' that a blank precedes.
std::string_view without_comment(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && (i == 0 || is_blank(text[i - 1]))) return trim(text.substr(0, i));
  }
  return trim(text);
}

struct Quoted {
  std::string text;
  size_t size = 0;  // with the quotes
};

// The text of a value that starts with a quote; nothing if it is not well formed.
std::optional<Quoted> unquote(std::string_view value) {
  std::string text;
  for (size_t i = 1; i < value.size(); ++i) {
    if (value[i] == '"') {
      // The quote counts as a blank: a comment may follow at once.
      if (!without_comment(value.substr(i + 1)).empty()) return std::nullopt;
      return Quoted{std::move(text), i + 1};
    }
    if (value[i] == '\\') {
      ++i;
      if (i == value.size() || (value[i] != '"' && value[i] != '\\')) return std::nullopt;
    }
    text += value[i];
  }
  return std::nullopt;
}

Status bad(const std::string& what) { return {IMCTL_INVALID_ARGUMENT, what}; }

Result<SettingsLine> scan_header(std::string_view text) {
  if (text.back() != ']') return bad("a section is written [name]: the closing ] is missing");
  std::string_view section = trim(text.substr(1, text.size() - 2));
  if (!is_section_name(section)) {
    return bad("a section's name is of letters, digits, - and _, like [host]");
  }
  SettingsLine line;
  line.kind = SettingsLine::Kind::kSection;
  line.name = section;
  return line;
}

Result<SettingsLine> scan_entry(std::string_view raw) {
  size_t equals = raw.find('=');
  std::string_view key = trim(raw.substr(0, equals));
  if (equals == std::string_view::npos || !is_setting_key(key)) {
    return bad("is neither `key = value` nor [section] nor a comment (#)");
  }
  SettingsLine line;
  line.kind = SettingsLine::Kind::kEntry;
  line.name = key;
  line.begin = equals + 1;
  line.end = line.begin;
  std::string_view value = without_comment(raw.substr(equals + 1));
  if (value.empty()) return line;
  line.begin = static_cast<size_t>(value.data() - raw.data());
  line.end = line.begin + value.size();
  line.text = value;
  if (value.front() != '"') return line;
  std::optional<Quoted> quoted = unquote(trim(raw.substr(equals + 1)));
  if (!quoted) {
    return bad("`" + line.name +
               "`: a quoted value ends with \" and has \\\" and \\\\ for \" and \\");
  }
  line.text = std::move(quoted->text);
  line.end = line.begin + quoted->size;
  return line;
}

// Turns each line of a config into what Boost is to see of it.
class Preparer {
 public:
  explicit Preparer(const std::string& name) : name_(name) {}

  Status line(std::string_view raw) {
    ++line_;
    Result<SettingsLine> line = scan_settings_line(raw);
    if (!line.ok()) return error(line.status().message());
    switch (line->kind) {
      case SettingsLine::Kind::kOther: return {};
      case SettingsLine::Kind::kSection:
        sections.emplace(line->name, line_);
        prepared += "[" + line->name + "]\n";
        return {};
      case SettingsLine::Kind::kEntry: break;
    }
    if (sections.empty()) {
      return error("`" + line->name +
                   "` stands before any [section]; put it below the section that it belongs to");
    }
    std::replace(line->text.begin(), line->text.end(), '#', kHash);
    prepared += line->name + " = " + std::to_string(line_) + " \"" + line->text + "\"\n";
    return {};
  }

  std::string prepared;
  std::map<std::string, int> sections;

 private:
  Status error(const std::string& what) const {
    return {IMCTL_INVALID_ARGUMENT, name_ + ":" + std::to_string(line_) + ": " + what};
  }

  const std::string& name_;
  int line_ = 0;
};

SettingsFile::Entry to_entry(const boost::program_options::option& option) {
  // The first dot: keys may have more of them, sections have none.
  size_t dot = option.string_key.find('.');
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

bool is_section_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

bool is_setting_key(std::string_view text) {
  for (size_t dot; (dot = text.find('.')) != std::string_view::npos; text.remove_prefix(dot + 1)) {
    if (!is_section_name(text.substr(0, dot))) return false;
  }
  return is_section_name(text);
}

Result<SettingsLine> scan_settings_line(std::string_view line) {
  if (std::any_of(line.begin(), line.end(),
                  [](char c) { return c != '\t' && c >= 0 && c < ' '; })) {
    return bad("has a control character; remove it");
  }
  std::string_view text = trim(line);
  if (text.empty() || text.front() == '#' || text.front() == ';') return SettingsLine();
  if (text.front() == '[') return scan_header(without_comment(text));
  return scan_entry(line);
}

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

Result<std::string> read_settings_content(const std::string& path) {
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
  return content.str();
}

Result<SettingsFile> read_settings_file(const std::string& path) {
  auto content = read_settings_content(path);
  if (!content.ok()) return content.status();
  return parse_settings(*content, path);
}

}  // namespace imctl::host
