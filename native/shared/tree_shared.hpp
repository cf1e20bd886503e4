// Shared memory of a process tree: who has it mapped is counted in the control page, so that it counts once, from the
// first that maps it to the last that unmaps it. As everywhere in the tree without a lock: one entry is changed in one
// step, the joint bytes in the next. Who is killed between the two leaves the sum off by that change.
#pragma once

#include "tree.hpp"

namespace fil::tree {

/// No place in Control::shared.
inline constexpr std::size_t nowhere = most_shared;

inline Shared load(Shared& shared) {
  return compare_and_swap(shared, Shared{}, Shared{});
}

inline Shared shared_by(std::uint64_t members, std::uint64_t object, std::int64_t bytes) {
  return Shared{object, static_cast<std::uint64_t>(bytes) << 16 | members};
}

/// Replaces what stands in a place by `next(Shared)`, and gives by how much its bytes change.
template <class Next>
std::int64_t change_shared(Shared& shared, Next next) {
  Shared seen = load(shared);
  while (true) {
    const Shared wanted = next(seen);
    const Shared found = compare_and_swap(shared, seen, wanted);
    if (found.object == seen.object && found.state == seen.state) {
      return wanted.bytes() - seen.bytes();
    }
    seen = found;
  }
}

/// One more member has mapped an object, `bytes` of it. Gives its place, or `nowhere` if there is none, and in `change`
/// what is to be added to the joint bytes.
inline std::size_t share(Control& control, std::uint64_t object, std::int64_t bytes, std::int64_t& change) {
  while (true) {
    std::size_t place = nowhere;
    Shared seen{};
    // The first that is free is taken, so none is behind one that never was used.
    for (std::size_t i = 0; i < most_shared; ++i) {
      const Shared there = load(control.shared[i]);
      const bool is_free = there.members() == 0;
      if (!is_free && there.object == object) {
        place = i;
        seen = there;
        break;
      }
      if (is_free && place == nowhere) {
        place = i;
        seen = there;
      }
      if (there.object == 0) {
        break;
      }
    }
    if (place == nowhere || seen.members() == 0xffff) {
      return nowhere;
    }
    const Shared next = shared_by(seen.members() + 1, object, bytes > seen.bytes() ? bytes : seen.bytes());
    const Shared found = compare_and_swap(control.shared[place], seen, next);
    if (found.object == seen.object && found.state == seen.state) {
      change = next.bytes() - seen.bytes();
      return place;
    }
  }
}

/// A member that has mapped what is there has `bytes` of it now. Gives what is to be added to the joint bytes.
inline std::int64_t share_again(Control& control, std::size_t place, std::int64_t bytes) {
  return change_shared(control.shared[place], [&](const Shared& seen) {
    // What the others have of it is not known, but for the most that one of them had.
    const bool is_more = seen.members() == 1 || bytes > seen.bytes();
    return shared_by(seen.members(), seen.object, is_more ? bytes : seen.bytes());
  });
}

/// A member has unmapped all that it had of it. Gives what is to be added to the joint bytes.
inline std::int64_t unshare(Control& control, std::size_t place) {
  return change_shared(control.shared[place], [](const Shared& seen) {
    return seen.members() <= 1 ? shared_by(0, seen.object, 0)
                               : shared_by(seen.members() - 1, seen.object, seen.bytes());
  });
}

/// What counts of all shared memory.
inline std::int64_t shared_bytes(Control& control) {
  std::int64_t bytes = 0;
  for (Shared& each : control.shared) {
    const Shared there = load(each);
    if (there.object == 0) {
      break;
    }
    bytes += there.bytes();
  }
  return bytes;
}

/// Whether what a member has claimed and mapped is of the session that is on.
inline bool is_of_session(const Control& control, const Member& member) {
  return member.session.load(std::memory_order_relaxed) == control.session.load(std::memory_order_acquire);
}

/// A member is gone, or about to go: nothing that it has mapped is shared by it any more. Gives what is to be added to
/// the joint bytes.
inline std::int64_t unshare_all(Control& control, Member& member) {
  std::int64_t change = 0;
  for (std::size_t word = 0; word < most_shared / 64; ++word) {
    std::uint64_t places = member.shared_places[word].exchange(0, std::memory_order_relaxed);
    for (; places != 0; places &= places - 1) {
      change += unshare(control, 64 * word + static_cast<std::size_t>(__builtin_ctzll(places)));
    }
  }
  member.shared_bytes.store(0, std::memory_order_relaxed);
  return change;
}

/// A session begins: nobody holds anything, and nobody was refused. Alone.
inline void forget_all(Control& control) {
  control.joint = Joint{0, 0};
  control.refused_members.store(0, std::memory_order_relaxed);
  for (std::atomic<std::int32_t>& pid : control.refused_pids) {
    pid.store(0, std::memory_order_relaxed);
  }
  for (Shared& each : control.shared) {
    each = Shared{};
  }
}

}  // namespace fil::tree
