// The table that a person reads and the file that a script does.
#ifndef IMCTL_TESTS_BENCH_REPORT_H
#define IMCTL_TESTS_BENCH_REPORT_H

#include <optional>
#include <string>
#include <vector>

namespace imctl::bench {

struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  std::string against;                  // what it is compared with; empty: nothing
  std::optional<double> against_value;  // in the same unit
  std::optional<double> ratio;  // value / against_value; of rounds side by side, their median
  std::string goal;             // in words; empty: none
  std::optional<bool> met;
};

double median(std::vector<double> values);

void print_table(const std::vector<Figure>& figures);
void write_json(const std::vector<Figure>& figures, const std::string& path);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_REPORT_H
