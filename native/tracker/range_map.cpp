#include "range_map.hpp"

#include <string.h>

#include "checks/checks.hpp"
#include "system.hpp"

namespace fil {
namespace {

/// A page of ranges; doubled as needed.
constexpr std::size_t first_capacity = 4096 / sizeof(Range);

}  // namespace

std::size_t RangeMap::first_after(std::uintptr_t address) const {
  std::size_t low = 0;
  std::size_t high = count_;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (ranges_[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool RangeMap::grow() {
  const std::size_t larger = capacity_ == 0 ? first_capacity : 2 * capacity_;
  auto* moved = larger <= max_capacity && !fails(Failpoint::ranges_full)
                    ? static_cast<Range*>(system::reserve(larger * sizeof(Range)))
                    : nullptr;
  if (moved == nullptr) {
    return false;
  }
  if (ranges_ != nullptr) {
    memcpy(moved, ranges_, count_ * sizeof(Range));
    system::unreserve(ranges_, capacity_ * sizeof(Range));
  }
  ranges_ = moved;
  capacity_ = larger;
  return true;
}

bool RangeMap::prepare(const ExclusiveGuard&) {
  return capacity_ != 0 || grow();
}

bool RangeMap::insert_at(std::size_t index, const Range& range) {
  if (count_ == capacity_ && !grow()) {
    return false;
  }
  memmove(ranges_ + index + 1, ranges_ + index, (count_ - index) * sizeof(Range));
  ranges_[index] = range;
  ++count_;
  return true;
}

void RangeMap::erase_at(std::size_t index) {
  memmove(ranges_ + index, ranges_ + index + 1, (count_ - index - 1) * sizeof(Range));
  --count_;
}

/// The part of a range between two addresses; empty if it has none there. Where in a range its resident pages are is
/// known when it is measured next: until then they are taken to be spread evenly.
Range RangeMap::part(const Range& of, std::uintptr_t from, std::uintptr_t to) {
  Range part = of;
  part.start = from > of.start ? from : of.start;
  part.offset = of.offset + (part.start - of.start);
  part.end = to < of.end ? to : of.end;
  if (part.start >= part.end) {
    part.start = part.end;
    part.counted = 0;
  } else if (of.counted != of.bytes()) {
    const double share = static_cast<double>(part.bytes()) / static_cast<double>(of.bytes());
    part.counted = static_cast<std::int64_t>(share * static_cast<double>(of.counted));
  } else {
    part.counted = part.bytes();
  }
  return part;
}

bool RangeMap::insert(const ExclusiveGuard&, Range range) {
  const std::size_t index = first_after(range.start);
  invariant([&] { return index == count_ || range.end <= ranges_[index].start; }, "ranges don't overlap");
  return insert_at(index, range);
}

const Range* RangeMap::next(const ExclusiveGuard&, std::uintptr_t address) const {
  const std::size_t index = first_after(address);
  return index < count_ ? &ranges_[index] : nullptr;
}

Range* RangeMap::find(const ExclusiveGuard&, std::uintptr_t address) {
  const std::size_t index = first_after(address);
  return index < count_ && ranges_[index].start <= address ? &ranges_[index] : nullptr;
}

bool RangeMap::split_at(std::uintptr_t address) {
  const std::size_t index = first_after(address);
  if (index == count_ || ranges_[index].start >= address) {
    return true;
  }
  const Range before = ranges_[index];
  Range front = part(before, before.start, address);
  Range behind = part(before, address, before.end);
  behind.counted = before.counted - front.counted;
  if (!insert_at(index + 1, behind)) {
    return false;
  }
  ranges_[index] = front;
  return true;
}

bool RangeMap::isolate(const ExclusiveGuard&, std::uintptr_t start, std::size_t bytes) {
  const bool front = split_at(start);
  return split_at(start + bytes) && front;
}

void RangeMap::clear(const ExclusiveGuard&) {
  count_ = 0;
  if (capacity_ > first_capacity) {
    system::unreserve(ranges_, capacity_ * sizeof(Range));
    ranges_ = nullptr;
    capacity_ = 0;
  }
}

}  // namespace fil
