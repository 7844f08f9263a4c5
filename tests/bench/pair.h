// Two servers measured in turns.
#ifndef IMCTL_TESTS_BENCH_PAIR_H
#define IMCTL_TESTS_BENCH_PAIR_H

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "load.h"
#include "report.h"

namespace imctl::bench {

class Pair {
 public:
  using Measure = std::function<Load(Client&)>;
  explicit Pair(Measure measure) : measure_(std::move(measure)) {}

  void run(Client& ours, Client& theirs, int rounds);

  // Calls a second with p50 and p99; a rate alone. `against`: what theirs is. `goal`: the least
  // ratio of the rates; 0: none.
  void add_calls(std::vector<Figure>* figures, const std::string& name, const std::string& against,
                 double goal) const;
  void add_rate(std::vector<Figure>* figures, const std::string& name, const std::string& unit,
                const std::string& against, double goal) const;

 private:
  Figure figure(const std::string& name, const std::string& unit, const std::string& against,
                double Load::*what) const;

  Measure measure_;
  std::vector<Load> ours_, theirs_;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_PAIR_H
