// `imctl module check`: all rules, of one module.
#ifndef IMCTL_HOST_CHECK_CHECK_MODULE_H
#define IMCTL_HOST_CHECK_CHECK_MODULE_H

#include <string>
#include <vector>

#include "check/findings.h"
#include "check/probes.h"

namespace imctl::host {

struct CheckOptions {
  ProbeModule module;
  std::vector<std::string> own_verbs;  // of the program itself
  // What runs one probe in a process of its own: the program, and its words before the name of the
  // probe and those after it. It calls run_probe.
  std::string program;
  std::vector<std::string> words;
  std::vector<std::string> words_after;
};

Findings check_module(const CheckOptions& options);

// The other side: carries out the probe and writes what it finds to `out`. False: there is none of
// that name.
bool run_probe(const std::string& name, const ProbeModule& module, int out);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_CHECK_MODULE_H
