#include "check/random_message.h"

#include <array>
#include <cstdint>
#include <limits>

namespace imctl::host {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <class Number>
Number some_number(Random& random) {
  const std::array<Number, 6> odd = {Number(0),
                                     Number(1),
                                     std::numeric_limits<Number>::max(),
                                     std::numeric_limits<Number>::min(),
                                     static_cast<Number>(-1),
                                     static_cast<Number>(random())};
  return odd[random() % odd.size()];
}

std::string some_text(Random& random) {
  static const std::array<std::string, 7> kOdd = {"",
                                                  "a",
                                                  "../../etc/passwd",
                                                  std::string(5000, 'x'),
                                                  "ann@example.org",
                                                  "%s%n'\";--",
                                                  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"};
  return kOdd[random() % kOdd.size()];
}

void set(Message& message, const FieldDescriptor* field, Random& random, int depth) {
  const Reflection* r = message.GetReflection();
  const bool list = field->is_repeated();
  switch (field->cpp_type()) {
#define IMCTL_SET(Kind, value)            \
  if (list) {                             \
    r->Add##Kind(&message, field, value); \
  } else {                                \
    r->Set##Kind(&message, field, value); \
  }                                       \
  break
    case FieldDescriptor::CPPTYPE_INT32: IMCTL_SET(Int32, some_number<int32_t>(random));
    case FieldDescriptor::CPPTYPE_INT64: IMCTL_SET(Int64, some_number<int64_t>(random));
    case FieldDescriptor::CPPTYPE_UINT32: IMCTL_SET(UInt32, some_number<uint32_t>(random));
    case FieldDescriptor::CPPTYPE_UINT64: IMCTL_SET(UInt64, some_number<uint64_t>(random));
    case FieldDescriptor::CPPTYPE_DOUBLE: IMCTL_SET(Double, some_number<double>(random));
    case FieldDescriptor::CPPTYPE_FLOAT: IMCTL_SET(Float, some_number<float>(random));
    case FieldDescriptor::CPPTYPE_BOOL: IMCTL_SET(Bool, random() % 2 == 0);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int count = field->enum_type()->value_count();
      const int value = field->enum_type()->value(static_cast<int>(random() % count))->number();
      IMCTL_SET(EnumValue, value);
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = field->type() == FieldDescriptor::TYPE_BYTES
                                   ? random_bytes(random, 300)
                                   : some_text(random);
      IMCTL_SET(String, text);
    }
#undef IMCTL_SET
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (depth > 0) {
        fill_at_random(list ? *r->AddMessage(&message, field) : *r->MutableMessage(&message, field),
                       random, depth - 1);
      }
      break;
  }
}

}  // namespace

std::string random_bytes(Random& random, size_t most) {
  std::string bytes(random() % (most + 1), '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

void fill_at_random(Message& message, Random& random, int depth) {
  const google::protobuf::Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const unsigned times = field->is_repeated() ? random() % 4 : random() % 3 == 0 ? 0 : 1;
    for (unsigned n = 0; n < times; ++n) set(message, field, random, depth);
  }
}

}  // namespace imctl::host
