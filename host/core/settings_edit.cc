#include "core/settings_edit.h"

#include <algorithm>
#include <utility>

#include "core/settings_text.h"

namespace imctl::host {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// `text` as it is written; with quotes where it would be read as something else without.
std::string written(std::string_view text, bool quoted) {
  for (size_t i = 0; i < text.size(); ++i) {
    quoted = quoted || (text[i] == '#' && (i == 0 || is_blank(text[i - 1])));
  }
  if (!quoted && trim(text) == text && (text.empty() || text.front() != '"')) {
    return std::string(text);
  }
  std::string value = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') value += '\\';
    value += c;
  }
  return value + "\"";
}

// An entry's line with another value.
std::string replaced(const std::string& line, const SettingsLine& meaning, std::string_view text) {
  bool quoted = meaning.end > meaning.begin && line[meaning.begin] == '"';
  std::string value = written(text, quoted);
  std::string before = line.substr(0, meaning.begin);
  std::string after = line.substr(meaning.end);
  if (trim(after).empty()) after.clear();
  if (value.empty()) {
    if (after.empty()) before.erase(before.find_last_of('=') + 1);
  } else if (before.size() > 1 && before.back() == '=' && is_blank(before[before.size() - 2])) {
    before += ' ';
  }
  // Without the blank it would belong to the value.
  if (!after.empty() && !is_blank(after.front())) after.insert(0, " ");
  return before + value + after;
}

}  // namespace

Result<SettingsEdit> SettingsEdit::open(std::string_view content, const std::string& name) {
  auto parsed = parse_settings(std::string(content), name);
  if (!parsed.ok()) return parsed.status();
  SettingsEdit edit;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (content.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    edit.byte_order_mark_ = kByteOrderMark;
    content.remove_prefix(kByteOrderMark.size());
  }
  std::string section;
  while (!content.empty()) {
    size_t size = std::min(content.find('\n'), content.size());
    size_t next = std::min(size + 1, content.size());
    if (size > 0 && content[size - 1] == '\r') --size;
    auto meaning = scan_settings_line(content.substr(0, size));
    if (!meaning.ok()) return meaning.status();
    if (meaning->kind == SettingsLine::Kind::kSection) section = meaning->name;
    edit.lines_.push_back({std::string(content.substr(0, size)),
                           std::string(content.substr(size, next - size)), std::move(*meaning),
                           section});
    content.remove_prefix(next);
  }
  return edit;
}

std::vector<size_t> SettingsEdit::find(SettingsLine::Kind kind, const std::string& section,
                                       const std::string& name) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < lines_.size(); ++i) {
    const Line& line = lines_[i];
    bool named = name.empty() || line.meaning.name == name;
    if (line.meaning.kind == kind && line.section == section && named) found.push_back(i);
  }
  return found;
}

Status SettingsEdit::insert(size_t at, const std::string& text, const std::string& section) {
  auto meaning = scan_settings_line(text);
  if (!meaning.ok()) return meaning.status();
  std::string end = lines_.empty() ? "\n" : lines_[at == 0 ? 0 : at - 1].end;
  // The last line may have had none, or only half of one.
  if (end.empty() || end.back() != '\n') {
    end = lines_.size() > 1 ? lines_.front().end : "\n";
    lines_[at - 1].end = end;
  }
  lines_.insert(lines_.begin() + static_cast<std::ptrdiff_t>(at),
                {text, end, std::move(*meaning), section});
  return {};
}

Status SettingsEdit::add_section(const std::string& section) {
  bool apart = lines_.empty() || trim(lines_.back().text).empty();
  Status status = apart ? Status() : insert(lines_.size(), "", lines_.back().section);
  if (!status.ok()) return status;
  return insert(lines_.size(), "[" + section + "]", section);
}

Status SettingsEdit::set(const std::string& section, const std::string& key,
                         std::string_view text) {
  if (!is_section_name(section) || !is_setting_key(key)) {
    return {IMCTL_INVALID_ARGUMENT,
            "`" + section + "." + key +
                "` cannot be in a config file: a section's name is of letters, digits, - and _, a "
                "key of such names with dots between them"};
  }
  auto is_control = [](char c) { return c != '\t' && c >= 0 && c < ' '; };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    return {IMCTL_INVALID_ARGUMENT,
            section + "." + key +
                " cannot be in a config file: a value is one line without control characters"};
  }

  std::vector<size_t> at = find(SettingsLine::Kind::kEntry, section, key);
  if (!at.empty()) {
    Line& line = lines_[at.front()];
    line.text = replaced(line.text, line.meaning, text);
    auto meaning = scan_settings_line(line.text);
    if (!meaning.ok()) return meaning.status();
    line.meaning = std::move(*meaning);
    for (size_t i = at.size(); i-- > 1;) {
      Line& further = lines_[at[i]];
      std::string comment(trim(further.text.substr(further.meaning.end)));
      if (comment.empty()) {
        lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(at[i]));
      } else {
        further.text = std::move(comment);
        further.meaning = {};
      }
    }
    return {};
  }

  std::string indent;
  std::vector<size_t> above = find(SettingsLine::Kind::kEntry, section, "");
  if (!above.empty()) {
    const std::string& last = lines_[above.back()].text;
    indent = last.substr(0, last.find_first_not_of(" \t"));
  } else {
    above = find(SettingsLine::Kind::kSection, section, "");
    if (above.size() > 1) above.resize(1);
  }
  if (above.empty()) {
    Status status = add_section(section);
    if (!status.ok()) return status;
    above.push_back(lines_.size() - 1);
  }
  std::string value = written(text, false);
  return insert(above.back() + 1, indent + key + (value.empty() ? " =" : " = ") + value, section);
}

bool SettingsEdit::unset(const std::string& section, const std::string& key) {
  if (key.empty()) return false;
  std::vector<size_t> at = find(SettingsLine::Kind::kEntry, section, key);
  for (size_t i = at.size(); i-- > 0;) {
    lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(at[i]));
  }
  return !at.empty();
}

std::string SettingsEdit::content() const {
  std::string all = byte_order_mark_;
  for (const Line& line : lines_) all += line.text + line.end;
  return all;
}

}  // namespace imctl::host
