// Mapped ranges and who mapped them: parts of a mapping can be unmapped, replaced or protected, which no table of
// starts can express.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"
#include "checks/checks.hpp"
#include "exclusive.hpp"

namespace fil {

/// How much of a range counts.
enum class Counting : std::uint8_t {
  /// All of it: memory that the kernel has promised to the program.
  whole,
  /// Its pages in memory, as they were last measured: reservations and files cost what is touched.
  resident,
  /// Nothing so far, as it never was accessible (PROT_NONE); from the moment that it is, `whole`...
  whole_once_accessible,
  /// ... or `resident`.
  resident_once_accessible,
  /// Nothing, as another range counts the same shared memory; once that one is gone, `whole`.
  counted_elsewhere,
};

constexpr bool never_accessible(Counting counting) {
  return counting == Counting::whole_once_accessible || counting == Counting::resident_once_accessible;
}

/// Shared memory that can be mapped more than once, as a number of its own; 0 for memory that can't be.
using SharedObject = std::uint64_t;
/// Whether other processes can map it: those that are made so are odd (mapping.cpp).
constexpr bool has_name(SharedObject object) {
  return (object & 1) != 0;
}
/// A number by which processes tell shared memory of the same name apart; 0 for memory without a name.
constexpr std::int32_t identity_of(SharedObject object) {
  return has_name(object) ? static_cast<std::int32_t>(object >> 33) : 0;
}

/// Invariant: start < end; 0 <= counted <= end - start; counted is end - start for `whole`, 0 if never accessible.
struct Range {
  std::uintptr_t start;
  std::uintptr_t end;
  /// Bytes that the ledger counts for it.
  std::int64_t counted;
  SiteId site;
  Counting counting;
  /// Whether its pages are those of a file.
  bool is_file = false;
  /// What is mapped, and from which byte on.
  SharedObject object = 0;
  std::uint64_t offset = 0;

  std::int64_t bytes() const { return static_cast<std::int64_t>(end - start); }
  /// What was mapped and takes no memory, as it was never touched.
  std::int64_t untouched_bytes() const {
    return is_file || counting == Counting::counted_elsewhere ? 0 : bytes() - counted;
  }
};

/// Disjoint address ranges, sorted. Insertion moves what lies behind: mappings are few and each costs a system call
/// anyway.
class RangeMap {
 public:
  /// Ranges at one time. Linux itself allows 65,530 mappings by default (vm.max_map_count).
  static constexpr std::size_t max_capacity = 1U << 17;

  bool empty() const { return count_ == 0; }
  Range* begin() { return ranges_; }
  Range* end() { return ranges_ + count_; }

  /// Has room for a page of ranges from now on: where the process may have no more mappings there would be none later.
  /// False if there is none now.
  bool prepare(const ExclusiveGuard& guard);

  /// False if there is no room for it. The range must not overlap another: remove() first.
  bool insert(const ExclusiveGuard& guard, Range range);

  /// The first range that ends after `address`; null if there is none.
  const Range* next(const ExclusiveGuard& guard, std::uintptr_t address) const;

  /// The range that contains `address`; null if there is none.
  Range* find(const ExclusiveGuard& guard, std::uintptr_t address);

  /// Cuts the ranges that reach across either end of these `bytes`, so that each range is inside or outside. False if
  /// there was no room for a piece: then nothing was cut there.
  bool isolate(const ExclusiveGuard& guard, std::uintptr_t start, std::size_t bytes);

  /// Calls `visit(Range&)` for each range that has a part of these `bytes`, by rising address.
  template <class Visit>
  void each(const ExclusiveGuard& guard, std::uintptr_t start, std::size_t bytes, Visit visit);

  /// Removes these `bytes`, cutting ranges that reach across, and calls `removed(const Range&)` for each piece. Where
  /// there is no room for what lies behind a hole it is removed as well.
  template <class Removed>
  void remove(const ExclusiveGuard& guard, std::uintptr_t start, std::size_t bytes, Removed removed);

  /// Calls `visit(const Range&)` for each range.
  template <class Visit>
  void for_each(const ExclusiveGuard&, Visit visit) const {
    for (std::size_t i = 0; i < count_; ++i) {
      visit(ranges_[i]);
    }
  }

  /// Calls `visit(const void* address, std::size_t bytes)` for the table's own memory.
  template <class Visit>
  void each_reservation(const ExclusiveGuard&, Visit visit) const {
    if (ranges_ != nullptr) {
      visit(ranges_, capacity_ * sizeof(Range));
    }
  }

  void clear(const ExclusiveGuard&);

 private:
  /// Index of the first range that ends after `address`.
  std::size_t first_after(std::uintptr_t address) const;
  bool grow();
  bool insert_at(std::size_t index, const Range& range);
  void erase_at(std::size_t index);
  bool split_at(std::uintptr_t address);
  static Range part(const Range& of, std::uintptr_t from, std::uintptr_t to);

  Range* ranges_ = nullptr;
  std::size_t count_ = 0;
  std::size_t capacity_ = 0;
};

template <class Visit>
void RangeMap::each(const ExclusiveGuard&, std::uintptr_t start, std::size_t bytes, Visit visit) {
  const std::uintptr_t end = start + bytes;
  for (std::size_t index = first_after(start); index < count_ && ranges_[index].start < end; ++index) {
    visit(ranges_[index]);
  }
}

template <class Removed>
void RangeMap::remove(const ExclusiveGuard&, std::uintptr_t start, std::size_t bytes, Removed removed) {
  const std::uintptr_t end = start + bytes;
  if (end <= start) {
    // Nothing, or more than there are addresses, which the kernel refuses.
    return;
  }
  std::size_t index = first_after(start);
  while (index < count_ && ranges_[index].start < end) {
    const Range before = ranges_[index];
    const Range front = part(before, before.start, start);
    const Range behind = part(before, end, before.end);
    Range gone = part(before, before.start > start ? before.start : start, before.end < end ? before.end : end);
    gone.counted = before.counted - front.counted - behind.counted;
    removed(static_cast<const Range&>(gone));
    if (front.start < front.end) {
      pass(Mark::range_cut_in_two);
      ranges_[index++] = front;
      if (behind.start < behind.end && !insert_at(index, behind)) {
        removed(behind);
      }
    } else if (behind.start < behind.end) {
      ranges_[index++] = behind;
    } else {
      erase_at(index);
    }
  }
}

}  // namespace fil
