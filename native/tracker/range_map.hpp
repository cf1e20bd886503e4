// Mapped ranges and who mapped them: parts of a mapping can be unmapped or replaced, which no table of starts can
// express.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"
#include "exclusive.hpp"

namespace fil {

struct Block;

/// Disjoint address ranges, sorted. Insertion moves what lies behind: mappings are few and each costs a system call
/// anyway.
class RangeMap {
 public:
  /// Ranges at one time. Linux itself allows 65,530 mappings by default (vm.max_map_count).
  static constexpr std::size_t capacity = 1U << 17;

  /// Reserves the table; false if there is no address space for it.
  bool prepare();
  bool empty() const { return count_ == 0; }

  /// False if the table is full. The range must not overlap another: remove() first.
  bool insert(const ExclusiveGuard& guard, std::uintptr_t start, std::size_t bytes, SiteId site);

  /// Removes `bytes` from `start`, cutting ranges that reach across, and calls `removed(SiteId, int64_t bytes)` for
  /// each piece.
  template <class Removed>
  void remove(const ExclusiveGuard& guard, std::uintptr_t start, std::size_t bytes, Removed removed);

  /// Removes the range that starts exactly there; `bytes` is 0 if there is none.
  Block take_start(const ExclusiveGuard& guard, std::uintptr_t start);

  void clear(const ExclusiveGuard&) { count_ = 0; }

 private:
  struct Range {
    std::uintptr_t start;
    std::uintptr_t end;
    SiteId site;
  };

  /// Index of the first range that ends after `address`.
  std::size_t find(std::uintptr_t address) const;
  void insert_at(std::size_t index, Range range);
  void erase_at(std::size_t index);

  Range* ranges_ = nullptr;
  std::size_t count_ = 0;
};

template <class Removed>
void RangeMap::remove(const ExclusiveGuard&, std::uintptr_t start, std::size_t bytes, Removed removed) {
  const std::uintptr_t end = start + bytes;
  std::size_t index = find(start);
  while (index < count_ && ranges_[index].start < end) {
    Range& range = ranges_[index];
    const std::uintptr_t from = range.start > start ? range.start : start;
    const std::uintptr_t to = range.end < end ? range.end : end;
    removed(range.site, static_cast<std::int64_t>(to - from));
    if (from > range.start && to < range.end) {
      const Range behind{to, range.end, range.site};
      range.end = from;
      if (count_ < capacity) {
        insert_at(index + 1, behind);
      } else {
        removed(behind.site, static_cast<std::int64_t>(behind.end - behind.start));
      }
      return;
    }
    if (from > range.start) {
      range.end = from;
      ++index;
    } else if (to < range.end) {
      range.start = to;
      return;
    } else {
      erase_at(index);
    }
  }
}

}  // namespace fil
