// Many connections, handled by one thread that does little: what is said in one turn goes out
// together.
#ifndef IMCTL_TESTS_BENCH_SOCKETS_H
#define IMCTL_TESTS_BENCH_SOCKETS_H

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace imctl::bench {

class Sockets {
 public:
  // Is given what came and was not taken yet; says how much of it is taken.
  using Take = std::function<size_t(size_t socket, std::string_view data)>;

  Sockets();
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;
  ~Sockets();

  // Owns the descriptor; the socket's number.
  size_t add(int fd);
  // What is appended goes out with the next turn.
  std::string* out(size_t socket);
  // Sends, waits so long for something to come, and hands it on. Throws when a connection ends.
  void turn(int milliseconds, const Take& take);

 private:
  struct Socket {
    int fd;
    bool dirty = false;
    std::string in, out;
  };
  void flush();
  void receive(size_t socket, const Take& take);

  const int epoll_;
  std::vector<Socket> sockets_;
  std::vector<size_t> dirty_;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_SOCKETS_H
