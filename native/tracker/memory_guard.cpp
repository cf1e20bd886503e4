#include "memory_guard.hpp"

#include <errno.h>
#include <signal.h>

#include "system.hpp"
#include "tracker.hpp"

namespace fil {

void MemoryGuard::attach(segment::View view) {
  guard_ = &view.guard();
  main_thread_ = pthread_self();
}

void MemoryGuard::enter(std::uint64_t cell) {
  if (guard_ != nullptr) {
    withdraw_failure();
    refused_.store(false, std::memory_order_relaxed);
    guard_->running_cell.store(cell, std::memory_order_release);  // pairs with the watcher's step
  }
}

void MemoryGuard::leave() {
  if (guard_ != nullptr) {
    guard_->running_cell.store(0, std::memory_order_seq_cst);
    withdraw_failure();
  }
}

bool MemoryGuard::is_requested() const {
  if (guard_ == nullptr) {
    return false;
  }
  const std::uint64_t cell = guard_->running_cell.load(std::memory_order_acquire);
  return cell != 0 && guard_->request.load(std::memory_order_acquire) == cell;
}

bool MemoryGuard::take(segment::Taker taker) {
  if (guard_ == nullptr) {
    return false;
  }
  std::uint64_t cell = guard_->running_cell.load(std::memory_order_acquire);
  // Pairs with the watcher's ask(): of several takers one sees the number.
  if (cell == 0 || !guard_->request.compare_exchange_strong(cell, 0, std::memory_order_acq_rel)) {
    return false;
  }
  note_refusal();
  guard_->taken_by.store(taker, std::memory_order_relaxed);
  guard_->taken_count.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void MemoryGuard::decline() {
  if (guard_ != nullptr) {
    std::uint64_t cell = guard_->running_cell.load(std::memory_order_acquire);
    guard_->request.compare_exchange_strong(cell, 0, std::memory_order_acq_rel);  // as in take()
    withdraw_failure();
  }
}

void MemoryGuard::exempt(const std::int32_t* threads, std::size_t count) {
  exempt_count_ = count < exempt_capacity ? count : exempt_capacity;
  for (std::size_t i = 0; i < exempt_count_; ++i) {
    exempt_[i] = threads[i];
  }
}

bool MemoryGuard::is_exempt_thread() const {
  const std::int32_t own = system::thread_id();
  for (std::size_t i = 0; i < exempt_count_; ++i) {
    if (exempt_[i] == own) {
      return true;
    }
  }
  return false;
}

bool MemoryGuard::listen(int signal_number, void (*raise)(int)) {
  if (guard_ == nullptr) {
    return false;
  }
  raise_ = raise;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  // Without SA_RESTART: a sleep, or a wait for a lock, must end for Python to look at the signal.
  action.sa_flags = SA_ONSTACK;
  if (sigaction(signal_number, &action, nullptr) != 0) {
    return false;
  }
  guard_->signal_number.store(signal_number, std::memory_order_release);
  return true;
}

void MemoryGuard::on_signal(int signal_number) {
  const int saved_errno = errno;
  MemoryGuard& self = tracker.guard();
  // Late ones are for a cell that has ended.
  if (self.is_requested()) {
    if (self.guard_->may_fail_python_allocation.load(std::memory_order_acquire) != 0) {
      failure_wanted_.store(true, std::memory_order_relaxed);
    }
    self.raise_(signal_number);
  }
  errno = saved_errno;
}

}  // namespace fil
