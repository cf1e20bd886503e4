// From the address of a live block to who allocated it and how much: a shadow of the address space, not a hash map.
//
// A hash map of a million blocks costs a cache miss or two an event and moves when it grows. Here an address leads to
// its entry by arithmetic, neighbours in memory are neighbours in the table, and a free block costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"
#include "../shared/segment.hpp"
#include "checks/checks.hpp"
#include "exclusive.hpp"
#include "few_blocks.hpp"
#include "range_map.hpp"
#include "small_leaf.hpp"

namespace fil {

class BlockTable {
 public:
  /// Blocks up to this size are counted in units of 16 bytes, larger ones to the byte.
  static constexpr std::size_t small_limit = 512;

  /// Bytes that a block of the requested size counts as.
  static constexpr std::int64_t counted_bytes(std::size_t requested) {
    if (requested > small_limit) {
      return static_cast<std::int64_t>(requested);
    }
    return static_cast<std::int64_t>(requested == 0 ? unit : (requested + unit - 1) & ~(unit - 1));
  }

  /// Reserves the directory; false if there is no address space for it.
  bool prepare();

  /// Enters a block. Calls `stale(Block)` for each entry that stood in its place: a block that was freed where we could
  /// not see it. False if there was no memory for the entry: the block is not counted.
  template <class Stale>
  bool put(const ExclusiveGuard& guard, const void* address, std::size_t requested, SiteId site, Stale stale);

  /// Removes the block that starts at `address`; its `bytes` are 0 if none is known there.
  Block take(const ExclusiveGuard& guard, const void* address);

  /// Calls `visit(Block)` for each. Reads the whole shadow, which takes milliseconds.
  template <class Visit>
  void for_each(const ExclusiveGuard& guard, Visit visit) const;

  /// Calls `visit(const void* address, std::size_t bytes)` for each part of the table's own memory.
  template <class Visit>
  void each_reservation(const ExclusiveGuard& guard, Visit visit) const;

  /// Forgets all blocks and gives the memory back.
  void clear(const ExclusiveGuard& guard);

  /// In a forked child, whose leaves are empty: the rest becomes so.
  ///
  /// @param few zeroed memory for the first blocks, as long as they are few; null to enter all in the shadow.
  void start_over(const ExclusiveGuard& guard, FewBlocks* few);

 private:
  static constexpr std::size_t unit = SmallLeaf::unit;
  /// Larger blocks have one entry per 512 bytes, so at most one of them starts in each. Blocks of 497 to 512 bytes are
  /// among them: allocators keep those 512 bytes apart as well.
  static constexpr unsigned granule_bits = 9;
  static constexpr std::size_t small_until = SmallLeaf::most_units * unit;
  /// What a leaf covers: the one of large entries is 256 KiB, sparse.
  static constexpr unsigned region_bits = SmallLeaf::region_bits;
  static constexpr unsigned directory_bits = 12;
  static constexpr unsigned address_bits = 47;
  static constexpr std::size_t directory_size = std::size_t{1} << directory_bits;
  static constexpr std::size_t directory_count = std::size_t{1} << (address_bits - region_bits - directory_bits);
  static constexpr std::size_t granules_of_region = std::size_t{1} << (region_bits - granule_bits);

  // Large entry, 64 bits: site (24), units into the granule (5), bytes (35). A site of 0 (the root, which holds
  // nothing) makes an entry empty, so zeroed memory is an empty table.
  static constexpr unsigned large_bytes_bits = 35;
  static constexpr std::size_t huge_limit = std::size_t{1} << large_bytes_bits;
  static constexpr std::size_t large_leaf_bytes = granules_of_region * sizeof(std::uint64_t);

  struct Region {
    SmallLeaf* small;
    std::uint64_t* large;
  };
  struct Directory {
    Region regions[directory_size];
  };
  /// Stands for all directories that don't exist, so that looking up needs no check.
  static const Directory nothing;

  static std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }
  static bool is_covered(std::uintptr_t address) { return (address >> address_bits) == 0; }
  const Region& region_of(std::uintptr_t address) const {
    return directories_[address >> (region_bits + directory_bits)]
        ->regions[(address >> region_bits) & (directory_size - 1)];
  }
  static std::size_t offset_in_region(std::uintptr_t address) {
    return address & ((std::uintptr_t{1} << region_bits) - 1);
  }
  static std::size_t large_index(std::uintptr_t address) { return offset_in_region(address) >> granule_bits; }
  static std::uint64_t unit_in_granule(std::uintptr_t address) {
    return (address & ((std::uintptr_t{1} << granule_bits) - 1)) / unit;
  }

  static Block small_block(SmallEntry entry) { return Block{SmallLeaf::site_of(entry), SmallLeaf::bytes_of(entry)}; }
  static SmallEntry small_entry(std::size_t requested, SiteId site) {
    return SmallLeaf::entry(site, static_cast<std::uint32_t>(counted_bytes(requested) / std::int64_t{unit}));
  }
  static Block large_block(std::uint64_t entry);
  static bool starts_at(std::uint64_t large_entry, std::uintptr_t address) {
    return large_entry != 0 && ((large_entry >> large_bytes_bits) & 31U) == unit_in_granule(address);
  }

  template <class Stale>
  bool put_any(const ExclusiveGuard& guard, std::uintptr_t address, std::size_t requested, SiteId site, Stale stale);
  template <class Stale>
  bool put_small(std::uintptr_t address, SmallEntry entry, Stale stale);
  template <class Stale>
  bool put_large(const ExclusiveGuard& guard, std::uintptr_t address, std::size_t bytes, SiteId site, Stale stale);
  Block take_huge(const ExclusiveGuard& guard, std::uintptr_t address);
  Block take_any(const ExclusiveGuard& guard, std::uintptr_t address);
  template <class Stale>
  [[gnu::cold, gnu::noinline]] bool spread(const ExclusiveGuard& guard, Stale stale);
  Region* writable_region(std::uintptr_t address);
  SmallLeaf* new_small_leaf(std::uintptr_t address);
  std::uint64_t* new_large_leaf(std::uintptr_t address);

  /// Those that hold entries; `no_directories_` while all blocks are in `few_`, so that events find no leaf.
  Directory** directories_ = nullptr;
  Directory** own_directories_ = nullptr;
  Directory** no_directories_ = nullptr;
  FewBlocks* few_ = nullptr;
  /// Blocks whose size does not fit an entry: rare enough for a sorted table.
  RangeMap huge_;
};

// Inline, as they run at every event.

inline Block BlockTable::large_block(std::uint64_t entry) {
  return Block{SiteId{static_cast<std::uint32_t>(entry >> (large_bytes_bits + 5))},
               static_cast<std::int64_t>(entry & (huge_limit - 1))};
}

[[gnu::always_inline]] inline Block BlockTable::take(const ExclusiveGuard& guard, const void* pointer) {
  const std::uintptr_t address = number(pointer);
  if (is_covered(address)) [[likely]] {
    const Region& region = region_of(address);
    if (region.small != nullptr) [[likely]] {
      const std::size_t offset = offset_in_region(address);
      if (const SmallEntry entry = region.small->take_known(offset); entry != 0) [[likely]] {
        return small_block(entry);
      }
      if (region.small->is_wide(offset)) {
        if (const SmallEntry entry = region.small->take_wide(offset); entry != 0) {
          return small_block(entry);
        }
      }
    }
  }
  return take_any(guard, address);
}

[[gnu::noinline]] inline Block BlockTable::take_any(const ExclusiveGuard& guard, std::uintptr_t address) {
  if (few_ != nullptr) {
    return few_->take(address);
  }
  if (!is_covered(address)) {
    return Block{SiteId::root, 0};
  }
  const Region& region = region_of(address);
  if (region.large != nullptr) {
    std::uint64_t& entry = region.large[large_index(address)];
    if (starts_at(entry, address)) {
      const Block block = large_block(entry);
      entry = 0;
      return block;
    }
  }
  return huge_.empty() ? Block{SiteId::root, 0} : take_huge(guard, address);
}

template <class Stale>
[[gnu::always_inline]] inline bool BlockTable::put(const ExclusiveGuard& guard, const void* pointer,
                                                   std::size_t requested, SiteId site, Stale stale) {
  const std::uintptr_t address = number(pointer);
  if (requested <= small_until && is_covered(address)) [[likely]] {
    const Region& region = region_of(address);
    const bool is_clear = region.large == nullptr || !starts_at(region.large[large_index(address)], address);
    if (region.small != nullptr && is_clear) [[likely]] {
      const std::size_t offset = offset_in_region(address);
      const SmallEntry entry = small_entry(requested, site);
      if (!region.small->put_known(offset, entry)) [[unlikely]] {
        if (const SmallEntry same_start = region.small->put(offset, entry); same_start != 0) {
          stale(small_block(same_start));
        }
      }
      return true;
    }
  }
  return put_any(guard, address, requested, site, stale);
}

template <class Stale>
[[gnu::noinline]] bool BlockTable::put_any(const ExclusiveGuard& guard, std::uintptr_t address, std::size_t requested,
                                           SiteId site, Stale stale) {
  if (!is_covered(address)) {
    return false;
  }
  if (few_ != nullptr && (few_->put(address, counted_bytes(requested), site, stale) || !spread(guard, stale))) {
    return few_ != nullptr;
  }
  return requested <= small_until
             ? put_small(address, small_entry(requested, site), stale)
             : put_large(guard, address, static_cast<std::size_t>(counted_bytes(requested)), site, stale);
}

/// Enters the few blocks in the shadow. False if there was no memory for one of them.
template <class Stale>
bool BlockTable::spread(const ExclusiveGuard& guard, Stale stale) {
  pass(Mark::few_blocks_spread);
  FewBlocks& few = *few_;
  few_ = nullptr;
  directories_ = own_directories_;
  bool all = true;
  few.for_each([&](std::uintptr_t address, Block block) {
    if (!put_any(guard, address, static_cast<std::size_t>(block.bytes), block.site, stale)) {
      all = false;
      stale(block);
    }
  });
  few.clear();
  return all;
}

template <class Stale>
bool BlockTable::put_small(std::uintptr_t address, SmallEntry entry, Stale stale) {
  const Region& region = region_of(address);
  if (region.large != nullptr) {
    if (std::uint64_t& same_start = region.large[large_index(address)]; starts_at(same_start, address)) [[unlikely]] {
      stale(large_block(same_start));
      same_start = 0;
    }
  }
  SmallLeaf* leaf = region.small;
  if (leaf == nullptr) [[unlikely]] {
    leaf = new_small_leaf(address);
    if (leaf == nullptr) {
      return false;
    }
  }
  if (const SmallEntry same_start = leaf->put(offset_in_region(address), entry); same_start != 0) [[unlikely]] {
    stale(small_block(same_start));
  }
  return true;
}

template <class Stale>
bool BlockTable::put_large(const ExclusiveGuard& guard, std::uintptr_t address, std::size_t bytes, SiteId site,
                           Stale stale) {
  if (const Block same_start = take(guard, reinterpret_cast<const void*>(address)); same_start.bytes != 0)
      [[unlikely]] {
    stale(same_start);
  }
  if (bytes >= huge_limit) [[unlikely]] {
    huge_.remove(guard, address, bytes, [&](const Range& gone) { stale(Block{gone.site, gone.counted}); });
    return !fails(Failpoint::huge_blocks_full) &&
           huge_.insert(guard,
                        Range{address, address + bytes, static_cast<std::int64_t>(bytes), site, Counting::whole});
  }
  std::uint64_t* leaf = region_of(address).large;
  if (leaf == nullptr) [[unlikely]] {
    leaf = new_large_leaf(address);
    if (leaf == nullptr) {
      return false;
    }
  }
  std::uint64_t& entry = leaf[large_index(address)];
  if (entry != 0) [[unlikely]] {
    stale(large_block(entry));
  }
  entry = (std::uint64_t{index_of(site)} << (large_bytes_bits + 5)) | (unit_in_granule(address) << large_bytes_bits) |
          bytes;
  return true;
}

template <class Visit>
void BlockTable::for_each(const ExclusiveGuard& guard, Visit visit) const {
  if (few_ != nullptr) {
    few_->for_each([&](std::uintptr_t, Block block) { visit(block); });
  }
  for (std::size_t i = 0; i < directory_count; ++i) {
    for (std::size_t j = 0; directories_[i] != &nothing && j < directory_size; ++j) {
      const Region& region = directories_[i]->regions[j];
      if (region.small != nullptr) {
        region.small->for_each([&](SmallEntry entry) { visit(small_block(entry)); });
      }
      for (std::size_t granule = 0; region.large != nullptr && granule < granules_of_region; ++granule) {
        if (region.large[granule] != 0) {
          visit(large_block(region.large[granule]));
        }
      }
    }
  }
  huge_.for_each(guard, [&](const Range& range) { visit(Block{range.site, range.counted}); });
}

template <class Visit>
void BlockTable::each_reservation(const ExclusiveGuard& guard, Visit visit) const {
  visit(own_directories_, 2 * directory_count * sizeof(Directory*));
  for (std::size_t i = 0; i < directory_count; ++i) {
    if (directories_[i] == &nothing) {
      continue;
    }
    visit(directories_[i], sizeof(Directory));
    for (const Region& region : directories_[i]->regions) {
      if (region.small != nullptr) {
        visit(region.small, sizeof(SmallLeaf));
      }
      if (region.large != nullptr) {
        visit(region.large, large_leaf_bytes);
      }
    }
  }
  huge_.each_reservation(guard, visit);
}

}  // namespace fil
