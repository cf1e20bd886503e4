// Words between the watcher, which sees memory run out from outside, and the process, which can let go of it: part of
// the segment's first page.
//
// A request to interrupt names the cell that it is for. It is taken by exactly one of: an allocation that is refused,
// the interrupt's handler, an allocation of Python's that fails. Whoever takes it does so by replacing the cell's
// number with 0 in `request`; whoever finds another number than that of the running cell leaves it alone. So a request
// that comes late meets nobody.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fil::segment {

/// How a request to interrupt was taken.
enum class Taker : std::uint32_t { nobody = 0, refused_allocation = 1, interrupt = 2, failed_python_allocation = 3 };

struct Guard {
  // Written by the watcher.

  /// The largest single request that memory suffices for. INT64_MAX: no guard is set.
  std::atomic<std::int64_t> admissible_bytes;
  /// What the session may hold: Header::current_bytes must not exceed it. INT64_MAX: no budget.
  std::atomic<std::int64_t> budget_bytes;
  /// The number of the cell that is to let go of memory; 0 if none is. Also written by takers, see above.
  std::atomic<std::uint64_t> request;
  /// Not 0: the request may also be taken by an allocation of Python's, as the interrupt had no effect.
  std::atomic<std::uint32_t> may_fail_python_allocation;

  // Written by the process.

  /// The Taker of the last request.
  std::atomic<Taker> taken_by;
  /// The number of the running cell, from 1; 0 while none runs.
  std::atomic<std::uint64_t> running_cell;
  /// The signal that its handler waits for; 0 if there is none.
  std::atomic<std::int32_t> signal_number;
  /// How many requests were taken.
  std::atomic<std::uint32_t> taken_count;
};

/// The last allocation that failed. Written by the tracker, under its exclusive lock; the last word at the program's
/// end.
struct Failure {
  /// Failures of this session; raised last.
  std::atomic<std::uint64_t> count;
  /// What was asked for.
  std::atomic<std::int64_t> bytes;
  /// CLOCK_MONOTONIC.
  std::atomic<std::uint64_t> at_nanoseconds;
  /// Where, as an index of the site tables.
  std::atomic<std::uint32_t> site;
  /// The thread's id in the kernel.
  std::atomic<std::int32_t> thread;
  /// Not 0: memory was there, but the guard refused it.
  std::atomic<std::uint32_t> refused;
  /// Not 0: the program ended by a MemoryError that nobody caught.
  std::atomic<std::uint32_t> uncaught_memory_error;
};

/// What the watcher last read: how things stood when the process and its watcher were killed at one blow. Each word is
/// stored on its own, the moment last.
struct LastReading {
  std::atomic<std::int64_t> limit_bytes;
  std::atomic<std::int64_t> available_bytes;
  std::atomic<std::int64_t> headroom_bytes;
  std::atomic<std::int64_t> resident_bytes;
  std::atomic<std::int64_t> swapped_bytes;
  /// CLOCK_MONOTONIC; 0: nothing was read.
  std::atomic<std::uint64_t> at_nanoseconds;
  /// The memory::LevelKind.
  std::atomic<std::uint32_t> level;
  std::uint32_t reserved;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(Guard) == 48 && sizeof(Failure) == 40 && sizeof(LastReading) == 56);

}  // namespace fil::segment
