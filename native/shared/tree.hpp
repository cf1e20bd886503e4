// What the processes of a session share beside their segments: a directory with the file `control` and a segment
// `process.N` for each that joined.
//
// No lock crosses processes, as whoever holds it can be killed. What is shared is one pair {current, peak}, changed by
// a compare-and-swap of 16 bytes, so that every process learns with its change which peak stood before it. A peak's
// value never repeats within a session, so it serves as the number of the peak.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "segment.hpp"

namespace fil::tree {

/// "FILTREE1" as little-endian bytes.
inline constexpr std::uint64_t magic = 0x3145'4552'544c'4946;
inline constexpr char control_name[] = "control";
/// Followed by the member's number.
inline constexpr char segment_prefix[] = "process.";
/// What a process claims in advance, so that not every event changes what all processes share.
inline constexpr std::int64_t default_credit_bytes = 64 * 1024;
/// A socket's path has no more either.
inline constexpr std::size_t longest_directory = 108;

/// Set in the number of a session that samples instead of counting every allocation. It is of one process alone.
inline constexpr std::uint32_t sampled_session = 1U << 31;

/// Bytes that all processes have claimed.
struct alignas(16) Joint {
  std::int64_t current;
  std::int64_t peak;
};

/// Shared memory that has a name, which any member can map: it counts once. Its bytes are in Joint::current by
/// themselves, and in no member's claim.
struct alignas(16) Shared {
  /// Which; 0 in places that were never used. Where nobody has it mapped any more, the place is free.
  std::uint64_t object;
  /// The low 16 bits: how many members have it mapped. Above: the bytes that count, the most that one of them had.
  std::uint64_t state;

  std::uint64_t members() const { return state & 0xffff; }
  std::int64_t bytes() const { return static_cast<std::int64_t>(state >> 16); }
};
/// At the same time. What is mapped beyond them is claimed by each member that maps it.
inline constexpr std::size_t most_shared = 192;

/// A process that was just forked, before it has a segment: most end before they need one. Until it holds more than
/// `young_credits` or is `young_nanoseconds` old, it keeps its figures to itself and claims nothing.
struct Young {
  /// 0: the place is free. `taken`: it is being filled.
  std::atomic<std::int32_t> pid;
  std::atomic<std::uint32_t> session;
  /// CLOCK_MONOTONIC; `left` is 0 while it is there. Whoever watches the tree frees its place then.
  std::atomic<std::uint64_t> joined_nanoseconds;
  std::atomic<std::uint64_t> left_nanoseconds;
  /// Bytes; valid once it has left.
  std::atomic<std::int64_t> peak_bytes;

  static constexpr std::int32_t taken = -1;
};
/// Times the credit: as far as one with a segment may be ahead with what it claims, so that the bound of both is the
/// same.
inline constexpr std::int64_t young_credits = 2;
inline constexpr std::uint64_t young_nanoseconds = 20'000'000;
/// More than start between two looks of the watcher. One that finds no place makes a segment at once.
inline constexpr std::size_t young_places = 120;

/// Processes that could not join are kept by their pids, the latest of them.
inline constexpr std::size_t most_refused = 64;

/// The file `control`; mapped by every process.
struct Control {
  std::uint64_t magic;
  std::uint32_t layout_version;
  /// The number of the session that is on; 0 while none is. Written by the process at the top.
  std::atomic<std::uint32_t> session;
  /// Numbers given to members.
  std::atomic<std::uint32_t> last_member;
  /// Processes that could not join in this session, for want of room in the directory, say. See refuse().
  std::atomic<std::uint32_t> refused_members;
  /// 0: every event is claimed exactly.
  std::atomic<std::int64_t> credit_bytes;
  alignas(64) Joint joint;
  alignas(64) Shared shared[most_shared];
  /// Where the next young process looks for a place.
  alignas(64) std::atomic<std::uint32_t> next_young;
  Young young[young_places];
  /// Of the n-th that was refused at n modulo most_refused; 0 for a moment, while it is written.
  std::atomic<std::int32_t> refused_pids[most_refused];
};

static_assert(offsetof(Control, joint) == 64 && offsetof(Control, shared) == 128 && sizeof(Young) == 32);
/// Of the file, and of what each process maps.
inline constexpr std::size_t control_bytes = segment::align_to_page(sizeof(Control));
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

/// How a process came to be.
enum class Origin : std::uint32_t { top = 0, forked = 1, executed = 2 };

/// A process as a member of the tree: part of its segment's first page.
///
/// `claimed` is its part of Joint::current; while it differs from `next_claim` the change is under way, and whether it
/// has come to pass can only be seen from the sum. What it claims and shares is of the session `session`: whatever is
/// left of an earlier one is of no concern.
struct Member {
  std::atomic<std::int64_t> claimed;
  std::atomic<std::int64_t> next_claim;
  /// The joint peak at the member's last event: Header::joint_generation was raised for it.
  std::atomic<std::int64_t> seen_peak;
  /// The joint peak when it left; -1 while it is there.
  std::atomic<std::int64_t> left_at_peak;
  /// CLOCK_MONOTONIC; `left` is 0 while it is there.
  std::atomic<std::uint64_t> joined_nanoseconds;
  std::atomic<std::uint64_t> left_nanoseconds;
  std::int32_t parent;
  Origin origin;
  /// Not 0: a Python of which call stacks are known. 0: everything is one site.
  std::uint32_t has_stacks;
  std::uint32_t command_bytes;
  /// What it holds of Control::shared, in bytes, and a bit for each place there that it has mapped.
  std::atomic<std::int64_t> shared_bytes;
  std::atomic<std::uint64_t> shared_places[most_shared / 64];
  /// That it has joined last.
  std::atomic<std::uint32_t> session;
  /// Of /proc/PID/cmdline: arguments separated by 0.
  char command[512];
};

static_assert(sizeof(Member) <= segment::member_bytes);

inline Member& member_of(const segment::View& view) {
  return *reinterpret_cast<Member*>(view.base + segment::member_offset);
}

/// Counts a process that could not join.
inline void refuse(Control& control, std::int32_t pid) {
  const std::uint32_t number = control.refused_members.fetch_add(1, std::memory_order_relaxed);
  control.refused_pids[number % most_refused].store(pid, std::memory_order_relaxed);
}

/// What a change of the joint bytes has met.
struct Met {
  /// The peak before it.
  std::int64_t peak;
  /// The joint bytes after it; above `peak` if it made a new one.
  std::int64_t current;
};

/// Compares and swaps 16 bytes; gives what stood there.
template <class Pair>
Pair compare_and_swap(Pair& pair, const Pair& expected, const Pair& next) {
  using Word = unsigned __int128;
  static_assert(sizeof(Word) == sizeof(Pair) && alignof(Pair) == 16);
  return __builtin_bit_cast(
      Pair, __sync_val_compare_and_swap(reinterpret_cast<Word*>(&pair), __builtin_bit_cast(Word, expected),
                                        __builtin_bit_cast(Word, next)));
}

/// Adds to the joint bytes, in one step for all processes.
inline Met change_joint(Joint& joint, std::int64_t delta) {
  // A torn first reading fails the first try.
  Joint seen{__atomic_load_n(&joint.current, __ATOMIC_RELAXED), __atomic_load_n(&joint.peak, __ATOMIC_RELAXED)};
  while (true) {
    const std::int64_t current = seen.current + delta;
    const Joint found = compare_and_swap(joint, seen, Joint{current, current > seen.peak ? current : seen.peak});
    if (found.current == seen.current && found.peak == seen.peak) {
      return Met{seen.peak, current};
    }
    seen = found;
  }
}

inline std::int64_t joint_peak(const Joint& joint) {
  return __atomic_load_n(&joint.peak, __ATOMIC_RELAXED);
}
inline std::int64_t joint_current(const Joint& joint) {
  return __atomic_load_n(&joint.current, __ATOMIC_RELAXED);
}

}  // namespace fil::tree
