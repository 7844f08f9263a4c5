#include "chat.h"

#include <algorithm>
#include <deque>
#include <stdexcept>

namespace imctl::bench {
namespace {

using Clock = Chat::Clock;
constexpr std::chrono::seconds kLongest{30};  // nothing comes any more

class Run {
 public:
  explicit Run(Chat* chat) : chat_(chat), users_(chat->users()) {
    chat_->on_delivered = [this](size_t user) {
      micros_.push_back(
          std::chrono::duration<double, std::micro>(Clock::now() - users_[user].due).count());
    };
    chat_->on_done = [this](size_t user) {
      --busy_;
      ++done_;
      users_[user].busy = false;
      if (full_ && Clock::now() < end_) return send(user, Clock::now());
      if (users_[user].waiting.empty()) return;
      const Clock::time_point due = users_[user].waiting.front();
      users_[user].waiting.pop_front();
      --waiting_;
      send(user, due);
    };
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() { chat_->on_delivered = chat_->on_done = nullptr; }

  // `per_second` 0: as many as can be.
  ChatLoad run(std::chrono::milliseconds time, double per_second,
               const std::function<double()>& cpu) {
    const double used = cpu();
    const Clock::time_point begin = Clock::now();
    end_ = begin + time;
    full_ = per_second == 0;
    if (full_) {
      for (size_t user = 0; user < users_.size(); ++user) send(user, Clock::now());
    }
    uint64_t number = 0;
    Clock::time_point last = begin;
    uint64_t done = 0;
    while (busy_ + waiting_ > 0 || (!full_ && Clock::now() < end_)) {
      int pause = 1000;
      if (!full_) {
        // An even user and an odd one in turns, so that both sides of the pairs write.
        for (;; ++number) {
          const Clock::time_point due =
              begin + std::chrono::nanoseconds(
                          static_cast<int64_t>(static_cast<double>(number) * 1e9 / per_second));
          if (due >= end_ || due > Clock::now()) break;
          ask(number * 7 % users_.size(), due);
        }
        pause = Clock::now() < end_ ? 1 : 1000;
      }
      chat_->turn(pause);
      if (done_ != done) last = Clock::now();
      done = done_;
      if (Clock::now() > last + kLongest) throw std::runtime_error("a message did not arrive");
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const double spent = cpu() - used;
    std::sort(micros_.begin(), micros_.end());
    const auto count = static_cast<double>(micros_.size());
    return {count / seconds, count / spent, micros_[micros_.size() / 2],
            micros_[micros_.size() * 99 / 100]};
  }

 private:
  struct User {
    bool busy = false;
    Clock::time_point due;
    std::deque<Clock::time_point> waiting;
  };

  void ask(size_t user, Clock::time_point due) {
    if (!users_[user].busy) return send(user, due);
    users_[user].waiting.push_back(due);
    ++waiting_;
  }
  void send(size_t user, Clock::time_point due) {
    users_[user].busy = true;
    users_[user].due = due;
    ++busy_;
    chat_->send(user);
  }

  Chat* const chat_;
  std::vector<User> users_;
  std::vector<double> micros_;
  Clock::time_point end_;
  bool full_ = true;
  size_t busy_ = 0, waiting_ = 0;
  uint64_t done_ = 0;
};

}  // namespace

ChatLoad full_load(Chat* chat, std::chrono::milliseconds time, const std::function<double()>& cpu) {
  return Run(chat).run(time, 0, cpu);
}

ChatLoad paced_load(Chat* chat, std::chrono::milliseconds time, double per_second,
                    const std::function<double()>& cpu) {
  return Run(chat).run(time, per_second, cpu);
}

}  // namespace imctl::bench
