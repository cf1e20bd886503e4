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

/// The first page of the file `control`; mapped by every process.
struct Control {
  std::uint64_t magic;
  std::uint32_t layout_version;
  /// The number of the session that is on; 0 while none is. Written by the process at the top.
  std::atomic<std::uint32_t> session;
  /// Numbers given to members.
  std::atomic<std::uint32_t> last_member;
  /// Processes that could not join, for want of room in the directory, say.
  std::atomic<std::uint32_t> refused_members;
  /// 0: every event is claimed exactly.
  std::atomic<std::int64_t> credit_bytes;
  alignas(64) Joint joint;
};

static_assert(offsetof(Control, joint) == 64 && sizeof(Control) == 128);
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

/// How a process came to be.
enum class Origin : std::uint32_t { top = 0, forked = 1, executed = 2 };

/// A process as a member of the tree: part of its segment's first page.
///
/// `claimed` is its part of Joint::current; while it differs from `next_claim` the change is under way, and whether it
/// has come to pass can only be seen from the sum.
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
  /// Of /proc/PID/cmdline: arguments separated by 0.
  char command[512];
};

static_assert(sizeof(Member) <= segment::member_bytes);

inline Member& member_of(const segment::View& view) {
  return *reinterpret_cast<Member*>(view.base + segment::member_offset);
}

/// What a change of the joint bytes has met.
struct Met {
  /// The peak before it.
  std::int64_t peak;
  /// The joint bytes after it; above `peak` if it made a new one.
  std::int64_t current;
};

/// Adds to the joint bytes, in one step for all processes.
inline Met change_joint(Joint& joint, std::int64_t delta) {
  using Word = unsigned __int128;
  static_assert(sizeof(Word) == sizeof(Joint));
  auto* word = reinterpret_cast<Word*>(&joint);
  // A torn first reading fails the first try.
  Joint seen{__atomic_load_n(&joint.current, __ATOMIC_RELAXED), __atomic_load_n(&joint.peak, __ATOMIC_RELAXED)};
  while (true) {
    const std::int64_t current = seen.current + delta;
    const Joint next{current, current > seen.peak ? current : seen.peak};
    const Word expected = __builtin_bit_cast(Word, seen);
    const Word found = __sync_val_compare_and_swap(word, expected, __builtin_bit_cast(Word, next));
    if (found == expected) {
      return Met{seen.peak, current};
    }
    seen = __builtin_bit_cast(Joint, found);
  }
}

inline std::int64_t joint_peak(const Joint& joint) {
  return __atomic_load_n(&joint.peak, __ATOMIC_RELAXED);
}
inline std::int64_t joint_current(const Joint& joint) {
  return __atomic_load_n(&joint.current, __ATOMIC_RELAXED);
}

}  // namespace fil::tree
