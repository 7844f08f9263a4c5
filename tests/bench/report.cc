#include "report.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace imctl::bench {
namespace {

std::string number(const std::optional<double>& value) {
  if (!value) return "-";
  char text[64];
  std::snprintf(text, sizeof(text), *value < 10 ? "%.3f" : "%.0f", *value);
  return text;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void print_table(const std::vector<Figure>& figures) {
  std::printf("%-42s %10s %-8s %-18s %10s %7s  %-14s %s\n", "NAME", "VALUE", "UNIT", "AGAINST", "",
              "RATIO", "GOAL", "MET");
  for (const Figure& f : figures) {
    std::printf("%-42s %10s %-8s %-18s %10s %7s  %-14s %s\n", f.name.c_str(),
                number(f.value).c_str(), f.unit.c_str(),
                f.against.empty() ? "-" : f.against.c_str(), number(f.against_value).c_str(),
                number(f.ratio).c_str(), f.goal.empty() ? "-" : f.goal.c_str(),
                !f.met   ? "-"
                : *f.met ? "yes"
                         : "NO");
  }
}

void write_json(const std::vector<Figure>& figures, const std::string& path) {
  google::protobuf::ListValue list;
  for (const Figure& figure : figures) {
    auto& fields = *list.add_values()->mutable_struct_value()->mutable_fields();
    auto set_number = [&](const char* key, const std::optional<double>& value) {
      if (value) {
        fields[key].set_number_value(*value);
      } else {
        fields[key].set_null_value(google::protobuf::NULL_VALUE);
      }
    };
    fields["name"].set_string_value(figure.name);
    fields["value"].set_number_value(figure.value);
    fields["unit"].set_string_value(figure.unit);
    fields["against"].set_string_value(figure.against);
    set_number("against_value", figure.against_value);
    set_number("ratio", figure.ratio);
    fields["goal"].set_string_value(figure.goal);
    if (figure.met) {
      fields["met"].set_bool_value(*figure.met);
    } else {
      fields["met"].set_null_value(google::protobuf::NULL_VALUE);
    }
  }
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(list, &json, options);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  std::ofstream(path) << json << "\n";
}

}  // namespace imctl::bench
