// What the module user does with few users and with many.
#ifndef IMCTL_TESTS_BENCH_USERS_H
#define IMCTL_TESTS_BENCH_USERS_H

#include <cstdint>
#include <vector>

#include "report.h"

namespace imctl::bench {

// `user get`, login, a token's check and `user list --prefix` with so many users and tokens,
// against the same with a thousand. Passwords are hashed as cheaply as can be: what is measured is
// the rest.
void measure_users(std::vector<Figure>* figures, int rounds, uint64_t users);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_USERS_H
