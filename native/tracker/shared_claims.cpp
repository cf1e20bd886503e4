#include "shared_claims.hpp"

#include <string.h>

#include "../shared/tree_shared.hpp"

namespace fil {
namespace {

void mark(tree::Member& member, std::size_t place, bool is_mapped) {
  const std::uint64_t bit = std::uint64_t{1} << place % 64;
  std::atomic<std::uint64_t>& places = member.shared_places[place / 64];
  if (is_mapped) {
    places.fetch_or(bit, std::memory_order_relaxed);
  } else {
    places.fetch_and(~bit, std::memory_order_relaxed);
  }
}

}  // namespace

bool SharedClaims::change(tree::Control& control, tree::Member& member, std::uint64_t object, std::int64_t delta,
                          std::int64_t& joint_delta) {
  std::size_t place = 0;
  // A place that we have mapped keeps its object.
  while (place < tree::most_shared && (held_[place] == 0 || control.shared[place].object != object)) {
    ++place;
  }
  if (place == tree::nowhere) {
    if (delta <= 0) {
      return false;
    }
    place = tree::share(control, object, delta, joint_delta);
    if (place == tree::nowhere) {
      return false;
    }
    mark(member, place, true);
  } else if (held_[place] + delta < 0) {
    return false;
  } else if (held_[place] + delta == 0) {
    mark(member, place, false);
    joint_delta = tree::unshare(control, place);
  } else {
    joint_delta = tree::share_again(control, place, held_[place] + delta);
  }
  held_[place] += delta;
  bytes_ += delta;
  member.shared_bytes.store(bytes_, std::memory_order_relaxed);
  return true;
}

void SharedClaims::clear(tree::Member& member) {
  bytes_ = 0;
  memset(held_, 0, sizeof(held_));
  for (std::atomic<std::uint64_t>& places : member.shared_places) {
    places.store(0, std::memory_order_relaxed);
  }
  member.shared_bytes.store(0, std::memory_order_relaxed);
}

}  // namespace fil
