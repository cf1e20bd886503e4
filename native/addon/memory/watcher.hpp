// Watches from outside how much memory a process tree can still take, and acts before the kernel does: asks the running
// cell to let go, and if that is not possible or has no effect, kills the process that holds most of it. What was held
// is in the segment then.
//
// A thread of its own: memory fills at 2 to 6 GB/s, so the last 100 MB take 18 ms, and Node's loop can stall for
// longer.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../../shared/guard.hpp"
#include "../../shared/segment.hpp"
#include "available.hpp"
#include "process_tree.hpp"

namespace fil::memory {

enum class Rule : std::uint8_t {
  /// Less is available than the headroom.
  available,
  /// More of the processes is swapped out than is available.
  swap,
  /// Everything stood still for want of memory.
  pressure,
  /// The cell's own budget is used up.
  budget,
};

/// The figures on which something was decided.
struct Figures {
  Rule rule = Rule::available;
  LevelKind kind = LevelKind::host;
  std::string where;
  std::int64_t limit_bytes = 0;
  std::int64_t available_bytes = 0;
  std::int64_t headroom_bytes = 0;
  std::int64_t tracked_bytes = 0;
  /// Of all processes of the tree.
  std::int64_t resident_bytes = 0;
  std::int64_t swapped_bytes = 0;
};

enum class EventKind : std::uint8_t {
  /// The running cell was asked to let go.
  interrupt_requested,
  killed_program,
  killed_subprocess,
  /// Memory is short, and it is not these processes that took it.
  not_the_cause,
};

struct Event {
  EventKind kind;
  Figures figures;
  /// Whom it concerns: the cell's number, or the pid that was killed.
  std::uint64_t subject;
  std::string command;
};

struct WatchOptions {
  pid_t pid;
  std::string root;
  /// What must be left; 0 for the rule of default_headroom().
  std::int64_t headroom_bytes = 0;
  /// What the processes may hold together; 0 for no such limit.
  std::int64_t limit_bytes = 0;
  /// Whether anything is done; without it the watcher only reads, but for budgets.
  bool acts = true;
  /// Whether running cells are asked before anything is killed.
  bool guards = false;
};

/// A process that can be signalled without the risk that its pid names another one by now.
class ProcessHandle {
 public:
  explicit ProcessHandle(pid_t pid);
  ~ProcessHandle();
  ProcessHandle(const ProcessHandle&) = delete;
  ProcessHandle& operator=(const ProcessHandle&) = delete;
  bool signal(int number) const;

 private:
  pid_t pid_;
  int descriptor_;
};

class Watcher {
 public:
  using OnEvent = std::function<void(const Event&)>;

  /// Starts watching. `on_event` is called on the watcher's thread, after the action.
  Watcher(segment::View view, WatchOptions options, OnEvent on_event);
  /// From the next look on: what must be left, and whether anything is done when it is not.
  void set_action(std::int64_t headroom_bytes, bool acts);
  /// Ends it; no event comes afterwards.
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// The last reading.
  Figures latest() const;
  /// How often the kernel has killed for want of memory since the last look before now, about a second ago.
  std::int64_t fresh_oom_kills() const;
  /// How often the watcher has woken up.
  std::uint64_t wake_ups() const { return wake_ups_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  /// What the processes held, and what was available, before the running cell (or what ran since the last).
  struct Baseline {
    std::map<std::string, std::int64_t> available;
    std::int64_t resident_bytes = 0;
  };

  void run();
  Clock::duration step();
  void note(const Figures& figures, Clock::time_point now);
  void look_slowly(const Reading& reading);
  std::int64_t headroom_of(std::int64_t limit_bytes) const;
  void admit(std::int64_t available_bytes, std::int64_t headroom);
  Figures figures_of(const Reading& reading, Rule rule) const;
  bool is_cause(const Figures& figures) const;
  void decide(const Figures& figures, Clock::time_point now);
  void decide_budget(Figures figures, std::int64_t budget, Clock::time_point now);
  /// When a cell was last asked for one reason, and what was left then. Only further growth is a new reason.
  struct Asked {
    bool ever = false;
    std::int64_t left = 0;
  };

  bool is_pending() const { return cell_ != 0 && guard_.request.load(std::memory_order_acquire) == cell_; }
  void ask(const Figures& figures, Asked& asked, std::int64_t step, Clock::time_point now);
  void press(Clock::time_point now);
  void kill(const Figures& figures, Clock::time_point now, bool program_only);
  void tell(EventKind kind, const Figures& figures, std::uint64_t subject, std::string command);

  segment::View view_;
  segment::Guard& guard_;
  const WatchOptions options_;
  OnEvent on_event_;

  AvailableMemory available_;
  ProcessTree tree_;
  ProcessHandle program_;

  // Of the watcher's thread only.
  Clock::time_point tree_found_{};
  Clock::time_point looked_slowly_{};
  std::int64_t others_resident_bytes_ = 0;
  std::int64_t swapped_bytes_ = 0;
  bool stalls_ = false;
  std::uint64_t cell_ = 0;
  Reading last_reading_{};
  std::int64_t last_resident_bytes_ = 0;
  Baseline baseline_{};
  bool program_killed_ = false;
  Clock::time_point short_since_{};
  bool told_not_cause_ = false;
  Asked asked_for_available_{};
  Asked asked_for_budget_{};
  Clock::time_point asked_at_{};
  bool pressed_ = false;
  Clock::time_point killed_at_{};
  unsigned kills_in_a_row_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable called_;
  bool end_ = false;
  bool look_ = false;
  Figures latest_{};
  std::int64_t known_oom_kills_ = 0;
  std::atomic<std::uint64_t> wake_ups_{0};
  /// As of the options, until they are changed.
  std::atomic<std::int64_t> headroom_bytes_;
  std::atomic<bool> acts_;
  std::thread thread_;
};

}  // namespace fil::memory
