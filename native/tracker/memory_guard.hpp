// The process's side of the guard against running out of memory; native/shared/guard.hpp has the words that it shares
// with the watcher.
//
// What is refused: requests of a mebibyte and more, made with the GIL held while a cell runs, for which memory does not
// suffice or that would exceed the cell's budget. Their callers, CPython and NumPy, raise MemoryError. Memory that
// calloc or mmap hand out is not there until it is touched (sparse arrays of zeros), so only a budget counts it.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../shared/segment.hpp"

namespace fil {

/// Whether the memory that a call hands out is sure to be used.
enum class Backed { at_once, when_touched };

class MemoryGuard {
 public:
  static constexpr std::int64_t least_refused = std::int64_t{1} << 20;

  void attach(segment::View view);
  /// In a forked child, which no guard looks after.
  void detach() { guard_ = nullptr; }

  /// The cell with this number begins; numbers are never used again.
  void enter(std::uint64_t cell);
  void leave();

  /// Whether memory does not suffice for `more` bytes, or the cell's budget doesn't, of which `held` are used.
  bool refuses(std::int64_t more, std::int64_t held, Backed backed) const {
    if (guard_ == nullptr || guard_->running_cell.load(std::memory_order_relaxed) == 0) {
      return false;
    }
    return (backed == Backed::at_once && more > guard_->admissible_bytes.load(std::memory_order_relaxed)) ||
           more > guard_->budget_bytes.load(std::memory_order_relaxed) - held;
  }

  /// Takes the open request for the running cell, if there is one that nobody else has taken.
  bool take(segment::Taker taker);
  /// Takes it to no effect: it is not the cell that needs the memory.
  void decline();
  /// Whether a request of the last cell was taken, or an allocation refused.
  bool has_refused() const { return refused_.load(std::memory_order_relaxed); }
  void note_refusal() { refused_.store(true, std::memory_order_relaxed); }
  /// Whether there is one.
  bool is_requested() const;

  /// Threads of the notebook's machinery, by their ids in the kernel: at most 32, nothing is refused to them.
  void exempt(const std::int32_t* threads, std::size_t count);
  bool is_exempt_thread() const;
  bool is_main_thread() const { return pthread_equal(pthread_self(), main_thread_) != 0; }

  /// Has `raise` called, in a signal handler on the main thread, when the watcher asks by the signal. `raise` must be
  /// safe to call there. False if the system refuses.
  bool listen(int signal_number, void (*raise)(int));

  /// Whether the watcher has asked in vain and wants an allocation of Python's to fail. Read at each of them, so it is
  /// a variable of its own.
  static bool wants_failure() { return failure_wanted_.load(std::memory_order_relaxed); }
  static void withdraw_failure() { failure_wanted_.store(false, std::memory_order_relaxed); }

 private:
  static void on_signal(int signal_number);

  static constexpr std::size_t exempt_capacity = 32;

  static inline std::atomic<bool> failure_wanted_{false};

  segment::Guard* guard_ = nullptr;
  pthread_t main_thread_{};
  void (*raise_)(int) = nullptr;
  std::atomic<bool> refused_{false};
  std::int32_t exempt_[exempt_capacity] = {};
  std::size_t exempt_count_ = 0;
};

}  // namespace fil
