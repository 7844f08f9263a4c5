// `imctl module new NAME`: a small module to begin with, made from the template that comes with
// imctl.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include "cli/local_verbs.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::pair<std::string, std::string>>;  // what stands for what

// A name that works as a module's, a .proto package's and a type's.
Status check_name(const std::string& name) {
  auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!name.empty() && name.size() <= 64 && name.front() >= 'a' && name.front() <= 'z' &&
      name.back() != '-' && name.find("--") == std::string::npos &&
      std::all_of(name.begin(), name.end(), good)) {
    return {};
  }
  return {
      IMCTL_INVALID_ARGUMENT,
      "'" + clean_line(name) +
          "': a module's name is of a-z, 0-9 and single '-', at most 64, and starts with a letter"};
}

Words words_of(const std::string& name, const std::string& extension) {
  std::string ident = name;
  std::replace(ident.begin(), ident.end(), '-', '_');
  std::string type;
  std::string upper;
  bool first = true;
  for (char c : ident) {
    bool letter = c >= 'a' && c <= 'z';
    char capital = letter ? static_cast<char>(c - 'a' + 'A') : c;
    upper += capital;
    if (c != '_') type += first ? capital : c;
    first = c == '_';
  }
  return {{"@NAME@", name},
          {"@IDENT@", ident},
          {"@TYPE@", type},
          {"@UPPER@", upper},
          {"@EXT@", extension}};
}

std::string filled(std::string text, const Words& words) {
  for (const auto& [mark, word] : words) {
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += word.size()) {
      text.replace(at, mark.size(), word);
    }
  }
  return text;
}

Status copy_file(const fs::path& from, const fs::path& to, const Words& words) {
  std::ifstream in(from, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::error_code ignored;
  fs::create_directories(to.parent_path(), ignored);
  std::ofstream out(to, std::ios::binary);
  out << filled(std::move(text), words);
  out.close();
  if (in.good() && out.good()) return {};
  return {IMCTL_FAILED_PRECONDITION, "cannot copy " + from.string() + " to " + to.string()};
}

}  // namespace

Status new_module(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  const std::string& name = arguments->words.front();
  if (Status status = check_name(name); !status.ok()) return status;
  std::string language = arguments->has("lang") ? arguments->get("lang") : "c++";
  if (language != "c++" && language != "c") {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "--lang is c++ or c, not '" + clean_line(language) + "'"};
  }
  fs::path folder = arguments->has("dir") ? fs::path(arguments->get("dir")) : fs::path(name);
  std::error_code error;
  if (fs::exists(folder, error)) {
    return {IMCTL_ALREADY_EXISTS, folder.string() + " is there already: nothing was written"};
  }
  // Beside the program's folder, so that an installation can be moved.
  fs::path program = fs::read_symlink("/proc/self/exe", error);
  fs::path share = program.parent_path().parent_path() / "share" / "imctl" / "template";
  if (!fs::is_directory(share / language, error)) {
    return {IMCTL_FAILED_PRECONDITION,
            "there is no template in " + share.string() + ": is imctl installed as a whole?"};
  }
  Words words = words_of(name, language == "c" ? "c" : "cc");
  std::set<std::string> made;
  for (const fs::path& from : {share / "common", share / language}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from)) {
      if (!entry.is_regular_file()) continue;
      std::string relative = filled(fs::relative(entry.path(), from).string(), words);
      Status status = copy_file(entry.path(), folder / relative, words);
      if (!status.ok()) return status;
      made.insert(std::move(relative));
    }
  }
  for (const std::string& file : made) call.out << (folder / file).string() << '\n';
  call.err << "Next: cd " << folder.string()
           << " && cmake -B build && cmake --build build && ctest --test-dir build\n";
  return {};
}

}  // namespace imctl::host::cli
