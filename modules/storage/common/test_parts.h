// What the back ends' own tests share.
#ifndef IMCTL_STORAGE_TEST_PARTS_H
#define IMCTL_STORAGE_TEST_PARTS_H

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "api/grpc/cloudevents/cloudevent.pb.h"
#include "engine.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "message.h"

namespace imctl::storage {

class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "imctl-storage-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline pb::CloudEvent event(const std::string& id, const std::string& text = "text") {
  pb::CloudEvent e;
  e.set_id(id);
  e.set_source("example/uri");
  e.set_spec_version("1.0");
  e.set_type("example.type");
  e.set_text_data(text);
  return e;
}

// Writes that own what they point into.
class PutOf {
 public:
  explicit PutOf(const std::vector<std::pair<std::string, std::string>>& messages) {
    held_.reserve(messages.size());
    PutMessages put;
    for (const auto& [id, text] : messages) {
      held_.emplace_back(id, event(id, text).SerializeAsString());
      put.items.push_back({held_.back().first, held_.back().second});
    }
    write_ = std::move(put);
  }
  PutOf(const PutOf&) = delete;
  PutOf& operator=(const PutOf&) = delete;
  Write* write() { return &write_; }
  const PutMessages& put() const { return std::get<PutMessages>(write_); }

 private:
  std::vector<std::pair<std::string, std::string>> held_;
  Write write_;
};

class AppendOf {
 public:
  AppendOf(const std::string& id, std::vector<std::string> mailboxes,
           const std::string& text = "text") {
    v1::Message message;
    *message.mutable_event() = event(id, text);
    held_ = message.SerializeAsString();
    AppendMessage append;
    append.key = delivery_key(message.event());
    append.data = held_;
    append.mailboxes = std::move(mailboxes);
    write_ = std::move(append);
  }
  AppendOf(const AppendOf&) = delete;
  AppendOf& operator=(const AppendOf&) = delete;
  Write* write() { return &write_; }
  const AppendMessage& append() const { return std::get<AppendMessage>(write_); }

 private:
  std::string held_;
  Write write_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_TEST_PARTS_H
