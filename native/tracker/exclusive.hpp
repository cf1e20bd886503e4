// The lock around everything that an event changes, biased towards who uses it most: the holders of Python's GIL, who
// exclude each other already, or one thread that works without it.
//
// An uncontended event of the favourite needs no atomic instruction, which costs as much as all the rest of an event:
// it announces itself with a plain store to its `Presence` and goes on while the bias stands. Anybody else takes the
// spin lock, revokes the bias and waits until the favourite is not inside. Who has taken the lock `rebias_after` times
// in a row becomes the favourite, so that threads which take turns pay for a lock, not for a barrier per event. The
// asymmetry (a store and a compiler barrier here, membarrier(2) there) is that of asymmetric fences:
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

/// Says that its owner, a thread or whoever holds the GIL, is inside by the bias. It must never be unmapped.
using Presence = std::atomic<bool>;

class Exclusive {
 public:
  /// Lets favourites skip the lock. Without it (no membarrier here) every event takes the lock, which is only slower.
  void allow_bias() { bias_allowed_ = true; }

  /// After fork, in the child: other threads are gone, and with them whatever they held.
  void reset() {
    locked_.store(false, std::memory_order_relaxed);
    gil_holders_.store(false, std::memory_order_relaxed);
    favourite_.store(nullptr, std::memory_order_relaxed);
    occupancy_.clear();
  }

 private:
  friend class ExclusiveGuard;

  /// Returns the presence that says so if the bias was enough; null if the lock is held.
  [[gnu::always_inline]] Presence* acquire(Gil gil, Presence* own) {
    Presence* presence = gil == Gil::held ? &gil_holders_ : own;
    if (presence != nullptr) [[likely]] {
      presence->store(true, std::memory_order_relaxed);
      // Store before load, by the compiler here and for the processor by the membarrier in revoke().
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (favourite_.load(std::memory_order_acquire) == presence) [[likely]] {
        pass(Mark::bias_taken);
        return presence;
      }
      presence->store(false, std::memory_order_release);
    }
    acquire_lock(presence);
    return nullptr;
  }

  // Not inlined: it would cost the events that have the bias.
  [[gnu::noinline]] void acquire_lock(Presence* presence) {
    lock();
    Presence* const favourite = favourite_.load(std::memory_order_relaxed);
    if (favourite != nullptr && favourite != presence) {
      revoke(*favourite);
    }
    if (presence != candidate_) {
      candidate_ = presence;
      calm_events_ = 0;
    }
    if (presence != nullptr && bias_allowed_ && ++calm_events_ >= rebias_after) {
      calm_events_ = 0;
      // Takes effect for the next event; this one holds the lock, and so must whoever else comes before that.
      favourite_.store(presence, std::memory_order_release);
      pass(Mark::bias_returned);
    }
  }

  [[gnu::always_inline]] void release(Presence* by_bias) {
    if (by_bias != nullptr) [[likely]] {
      by_bias->store(false, std::memory_order_release);  // pairs with revoke
    } else {
      locked_.store(false, std::memory_order_release);  // pairs with lock
    }
  }

  void lock() {
    // Reads until it is free, as a write would take the cache line from whoever holds it.
    for (unsigned attempt = 0;
         locked_.load(std::memory_order_relaxed) || locked_.exchange(true, std::memory_order_acquire); ++attempt) {
      // Whoever holds it may have been descheduled: yield rather than burn its time slice.
      system::wait_a_little(attempt);
    }
  }

  void revoke(const Presence& favourite) {
    favourite_.store(nullptr, std::memory_order_seq_cst);
    system::barrier_in_all_threads();
    for (unsigned attempt = 0; favourite.load(std::memory_order_acquire); ++attempt) {
      system::wait_a_little(attempt);
    }
    pass(Mark::bias_revoked);
  }

  static constexpr std::uint32_t rebias_after = 256;

  // A line of its own: GIL holders write theirs at every event.
  alignas(64) Presence gil_holders_{false};
  /// Whose presence is enough.
  std::atomic<Presence*> favourite_{nullptr};
  bool bias_allowed_ = false;
  alignas(64) std::atomic<bool> locked_{false};
  /// Who has taken the lock last, and how often in a row; guarded by it, and on its line: who writes them has that one.
  const Presence* candidate_ = nullptr;
  std::uint32_t calm_events_ = 0;

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
  /// @param own the calling thread's presence, for events without the GIL that may be many; never shared by threads.
  ExclusiveGuard(Exclusive& exclusive, Gil gil, Presence* own = nullptr)
      : exclusive_(exclusive), by_bias_(exclusive.acquire(gil, own)) {
    exclusive_.occupancy_.enter();
  }
  ~ExclusiveGuard() {
    exclusive_.occupancy_.leave();
    exclusive_.release(by_bias_);
  }
  ExclusiveGuard(const ExclusiveGuard&) = delete;
  ExclusiveGuard& operator=(const ExclusiveGuard&) = delete;

 private:
  Exclusive& exclusive_;
  Presence* by_bias_;
};

}  // namespace fil
