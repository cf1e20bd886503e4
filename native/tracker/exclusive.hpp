// The lock around everything that an event changes, biased towards threads that hold Python's GIL.
//
// Holders of the GIL exclude each other already, so an uncontended event needs no atomic instruction: such a thread
// announces itself with a plain store (`active_`) and goes on while the bias stands. A thread without the GIL takes the
// spin lock, revokes the bias and waits until no holder of the GIL is inside. The bias comes back after `rebias_after`
// events of GIL holders in a row, so that thread pools pay for a lock, not for a barrier per event. The asymmetry (a
// store and a compiler barrier here, membarrier(2) there) is that of asymmetric fences:
// https://www.open-std.org/jtc1/sc22/wg21/docs/papers/2020/p1202r2.pdf
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "checks/checks.hpp"
#include "system.hpp"

namespace fil {

/// Whether the calling thread holds the main interpreter's GIL; whoever passes `held` promises it for the guard's
/// lifetime.
enum class Gil { held, not_held };

class Exclusive {
 public:
  /// Lets GIL holders skip the lock. Without it (no membarrier here) every event takes the lock, which is only slower.
  void allow_bias() { bias_allowed_ = true; }

  /// After fork, in the child: other threads are gone, and with them whatever they held.
  void reset() {
    locked_.store(false, std::memory_order_relaxed);
    active_.store(false, std::memory_order_relaxed);
    biased_.store(false, std::memory_order_relaxed);
    occupancy_.clear();
  }

 private:
  friend class ExclusiveGuard;

  enum class Held { bias, lock };

  Held acquire(Gil gil) {
    if (gil == Gil::held) {
      active_.store(true, std::memory_order_relaxed);
      // Store before load, by the compiler here and for the processor by the membarrier in revoke().
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (biased_.load(std::memory_order_acquire)) [[likely]] {
        pass(Mark::bias_taken);
        return Held::bias;
      }
      active_.store(false, std::memory_order_release);
      lock();
      if (bias_allowed_ && ++calm_events_ >= rebias_after) {
        calm_events_ = 0;
        // Takes effect for the next event; this one holds the lock, and so must whoever comes without the GIL before
        // that.
        biased_.store(true, std::memory_order_release);
        pass(Mark::bias_returned);
      }
      return Held::lock;
    }
    lock();
    calm_events_ = 0;
    if (biased_.load(std::memory_order_relaxed)) {
      revoke();
    }
    return Held::lock;
  }

  void release(Held held) {
    if (held == Held::bias) {
      active_.store(false, std::memory_order_release);  // pairs with revoke
    } else {
      locked_.store(false, std::memory_order_release);  // pairs with lock
    }
  }

  void lock() {
    for (unsigned attempt = 0; locked_.exchange(true, std::memory_order_acquire); ++attempt) {
      // Whoever holds it may have been descheduled: yield rather than burn its time slice.
      system::wait_a_little(attempt);
    }
  }

  void revoke() {
    biased_.store(false, std::memory_order_seq_cst);
    system::barrier_in_all_threads();
    for (unsigned attempt = 0; active_.load(std::memory_order_acquire); ++attempt) {
      system::wait_a_little(attempt);
    }
    pass(Mark::bias_revoked);
  }

  static constexpr std::uint32_t rebias_after = 256;

  // A line of its own: GIL holders write active_ at every event.
  alignas(64) std::atomic<bool> active_{false};
  std::atomic<bool> biased_{false};
  bool bias_allowed_ = false;
  /// Events of GIL holders since the last of another thread; guarded by locked_.
  std::uint32_t calm_events_ = 0;
  alignas(64) std::atomic<bool> locked_{false};

  /// Who is inside, counted in the checked build only.
  struct Uncounted {
    void enter() {}
    void leave() {}
    void clear() {}
  };
  struct Counted {
    void enter() {
      invariant([&] { return inside.fetch_add(1, std::memory_order_acq_rel) == 0; }, "one thread at a time is inside");
    }
    void leave() { inside.fetch_sub(1, std::memory_order_acq_rel); }
    void clear() { inside.store(0, std::memory_order_relaxed); }
    std::atomic<int> inside{0};
  };
  [[no_unique_address]] std::conditional_t<is_checked_build, Counted, Uncounted> occupancy_;
};

/// Proof that the caller is alone. What an event changes takes it as a parameter, so that forgetting the lock does not
/// compile.
class ExclusiveGuard {
 public:
  ExclusiveGuard(Exclusive& exclusive, Gil gil) : exclusive_(exclusive), held_(exclusive.acquire(gil)) {
    exclusive_.occupancy_.enter();
  }
  ~ExclusiveGuard() {
    exclusive_.occupancy_.leave();
    exclusive_.release(held_);
  }
  ExclusiveGuard(const ExclusiveGuard&) = delete;
  ExclusiveGuard& operator=(const ExclusiveGuard&) = delete;

 private:
  Exclusive& exclusive_;
  Exclusive::Held held_;
};

}  // namespace fil
