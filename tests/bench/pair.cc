#include "pair.h"

#include <cstdio>

namespace imctl::bench {

void Pair::run(Client& ours, Client& theirs, int rounds) {
  measure_(ours);  // warm
  measure_(theirs);
  for (int i = 0; i < rounds; ++i) {
    // The order changes, so that neither always follows the other.
    Load first = measure_(i % 2 == 0 ? ours : theirs);
    Load second = measure_(i % 2 == 0 ? theirs : ours);
    ours_.push_back(i % 2 == 0 ? first : second);
    theirs_.push_back(i % 2 == 0 ? second : first);
  }
}

Figure Pair::figure(const std::string& name, const std::string& unit, const std::string& against,
                    double Load::*what) const {
  std::vector<double> ours, theirs, ratios;
  for (size_t i = 0; i < ours_.size(); ++i) {
    ours.push_back(ours_[i].*what);
    theirs.push_back(theirs_[i].*what);
    ratios.push_back(ours.back() / theirs.back());
  }
  return {name, median(ours), unit, against, median(theirs), median(ratios), "", std::nullopt};
}

void Pair::add_rate(std::vector<Figure>* figures, const std::string& name, const std::string& unit,
                    const std::string& against, double goal) const {
  Figure made = figure(name, unit, against, &Load::per_second);
  if (goal > 0) {
    char words[32];
    std::snprintf(words, sizeof(words), "ratio >= %g", goal);
    made.goal = words;
    made.met = *made.ratio >= goal;
  }
  figures->push_back(made);
}

void Pair::add_calls(std::vector<Figure>* figures, const std::string& name,
                     const std::string& against, double goal) const {
  add_rate(figures, name, "calls/s", against, goal);
  figures->push_back(figure(name + ", p50", "us", against, &Load::p50_us));
  figures->push_back(figure(name + ", p99", "us", against, &Load::p99_us));
}

}  // namespace imctl::bench
