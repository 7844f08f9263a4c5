// How frames, bytes and times grow with nodes, services and users.
#ifndef IMCTL_SIMULATION_FIGURES_H
#define IMCTL_SIMULATION_FIGURES_H

namespace imctl::simulation {

// Prints them. 0: all went well.
int figures();

}  // namespace imctl::simulation

#endif  // IMCTL_SIMULATION_FIGURES_H
