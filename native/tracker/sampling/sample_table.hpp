// From the address of a block to its sample: a small hash table, and before it a filter by which nearly every free of a
// block that was not sampled ends after one byte was read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../../shared/ids.hpp"
#include "../exclusive.hpp"
#include "sampled_ledger.hpp"

namespace fil::sampling {

/// A block that is counted.
struct Sample {
  /// 0 if there is none.
  std::uintptr_t address;
  /// What it stands for: its weight, or its size if it is counted for certain.
  std::int64_t bytes;
  SiteId site;
  bool is_exact;
  Half half;
};

/// How many counted blocks begin in the pages of a number; a page's number is that of its address modulo the size. A
/// process of 4 GiB has one page per entry. Read without the lock: whoever frees a block has been given it by whoever
/// allocated it, which orders the two. 255 stays, which costs a look at the table and no more.
inline constexpr std::size_t filter_pages = std::size_t{1} << 20;
inline constinit std::atomic<std::uint8_t> page_filter[filter_pages] = {};

inline std::atomic<std::uint8_t>& filter_of(std::uintptr_t address) {
  return page_filter[(address >> 12) & (filter_pages - 1)];
}

/// False for nearly all blocks that are not counted, true for all that are.
inline bool may_be_counted(const void* block) {
  return filter_of(reinterpret_cast<std::uintptr_t>(block)).load(std::memory_order_relaxed) != 0;
}

/// Open addressing with linear probing; deletion moves later entries up (Knuth, The Art of Computer Programming 3, 6.4,
/// algorithm R), so that years of allocating and freeing leave no tombstones. At most half full.
class SampleTable {
 public:
  /// False if there is no memory for the first table.
  bool prepare();

  /// Enters a sample; `address` must not be known. False if there was no memory to grow: it is not counted then.
  bool put(const ExclusiveGuard& guard, const Sample& sample);
  /// Removes the sample of a block; its address is 0 if none is known there.
  Sample take(const ExclusiveGuard& guard, const void* block);
  /// Forgets all and gives the memory back.
  void clear(const ExclusiveGuard& guard);

  std::size_t size() const { return count_; }
  template <class Visit>
  void each_reservation(const ExclusiveGuard&, Visit visit) const {
    visit(slots_, capacity_ * sizeof(Sample));
    visit(static_cast<const void*>(page_filter), sizeof(page_filter));
  }
  template <class Visit>
  void for_each(const ExclusiveGuard&, Visit visit) const {
    for (std::size_t slot = 0; slot < capacity_; ++slot) {
      if (slots_[slot].address != 0) {
        visit(slots_[slot]);
      }
    }
  }

 private:
  /// 128 KiB of address space, of which what is used is touched.
  static constexpr std::size_t first_capacity = 4096;

  std::size_t home(std::uintptr_t address) const {
    // Fibonacci hashing: Knuth 3, 6.4.
    return static_cast<std::size_t>((address >> 4) * 0x9e37'79b9'7f4a'7c15U >> 32) & (capacity_ - 1);
  }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (capacity_ - 1); }
  void insert(const Sample& sample);
  bool grow();

  Sample* slots_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t count_ = 0;
};

}  // namespace fil::sampling
