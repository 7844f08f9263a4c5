// One setting: a field of a Config message, its options, and how its text becomes its value.
#ifndef IMCTL_HOST_CORE_SETTINGS_FIELD_H
#define IMCTL_HOST_CORE_SETTINGS_FIELD_H

#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "imctl/options.pb.h"
#include "imctl/status.h"

namespace imctl::host {

class SettingField {
 public:
  // An error if a setting cannot be of the field's type.
  static Result<SettingField> make(const google::protobuf::FieldDescriptor* field);

  // How a value of an enum is written: SYNC_MODE_FULL is "full".
  static std::string choice_name(const google::protobuf::EnumValueDescriptor* value);

  const std::string& key() const { return field_->name(); }
  const imctl::Setting& options() const { return options_; }
  bool is_list() const { return field_->is_repeated(); }

  // Whether a shared variable with this value is for this setting.
  bool serves(std::string_view text) const;

  // Parses and checks `texts` (one, or more for a list on several lines) and sets the field. The
  // error is a clause to follow the setting's name, "is `x`, which is no number: ...", and shows no
  // secret.
  Status set(google::protobuf::Message& message, const std::vector<std::string>& texts) const;
  // Sets what holds when nobody says anything. The error is the module's fault.
  Status set_default(google::protobuf::Message& message) const;

  // The field's value as bytes: the same for the same value.
  std::string value_of(const google::protobuf::Message& message) const;

  // For people: secrets masked.
  std::string printable(std::string_view text) const;
  std::string printable_default() const;

 private:
  // A parsed value. long double holds every 64-bit integer and every double exactly.
  struct Scalar {
    long double number = 0;
    std::string text;
  };

  explicit SettingField(const google::protobuf::FieldDescriptor* field);

  Result<Scalar> parse(std::string_view text) const;
  Result<Scalar> parse_number(std::string_view text) const;
  Result<Scalar> parse_enum(std::string_view text) const;
  Status check_bounds(const Scalar& value) const;
  Status check_length(size_t length, std::string_view what) const;
  Status check_text(const std::string& text) const;
  void store(google::protobuf::Message& message, const Scalar& value) const;
  Status refuse(std::string_view text, const std::string& why) const;

  const google::protobuf::FieldDescriptor* field_;
  imctl::Setting options_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_FIELD_H
