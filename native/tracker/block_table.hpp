// From the address of a live block to who allocated it and how much: a shadow of the address space, not a hash map.
//
// A hash map of a million blocks costs a cache miss or two an event and moves when it grows. Here an address leads to
// its entry by arithmetic, neighbours in memory are neighbours in the table, and a free block costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"
#include "checks/checks.hpp"
#include "exclusive.hpp"
#include "range_map.hpp"

namespace fil {

/// A block as the ledger counts it.
struct Block {
  SiteId site;
  /// The requested size; up to `small_limit` rounded up to 16, which is what pymalloc and malloc really use.
  std::int64_t bytes;
};

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

  /// Forgets all blocks and gives the memory back.
  void clear(const ExclusiveGuard& guard);

 private:
  static constexpr std::size_t unit = 16;
  static constexpr unsigned granule_bits =
      9;  // large blocks: one entry per 512 bytes, so at most one block starts in each
  static constexpr unsigned region_bits =
      26;  // a leaf covers 64 MiB: 16 MiB of small entries, 1 MiB of large ones, sparse
  static constexpr unsigned address_bits = 47;
  static constexpr std::size_t region_count = std::size_t{1} << (address_bits - region_bits);
  static constexpr std::size_t small_leaf_bytes = (std::size_t{1} << region_bits) / unit * sizeof(std::uint32_t);
  static constexpr std::size_t large_leaf_bytes =
      (std::size_t{1} << (region_bits - granule_bits)) * sizeof(std::uint64_t);

  // Small entry, 32 bits: site (24), units - 1 (5). Large entry, 64 bits: site (24), units into the granule (5), bytes
  // (35). A site of 0 (the root, which holds nothing) makes an entry empty, so zeroed memory is an empty table.
  static constexpr unsigned small_units_bits = 5;
  static constexpr unsigned large_bytes_bits = 35;
  static constexpr std::size_t huge_limit = std::size_t{1} << large_bytes_bits;

  struct Region {
    std::uint32_t* small;
    std::uint64_t* large;
  };

  static std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }
  static std::size_t region_of(std::uintptr_t address) { return address >> region_bits; }
  static std::size_t small_index(std::uintptr_t address) {
    return (address & ((std::uintptr_t{1} << region_bits) - 1)) / unit;
  }
  static std::size_t large_index(std::uintptr_t address) {
    return (address & ((std::uintptr_t{1} << region_bits) - 1)) >> granule_bits;
  }
  static std::uint64_t unit_in_granule(std::uintptr_t address) {
    return (address & ((std::uintptr_t{1} << granule_bits) - 1)) / unit;
  }

  static Block small_block(std::uint32_t entry);
  static Block large_block(std::uint64_t entry);
  static bool starts_at(std::uint64_t large_entry, std::uintptr_t address) {
    return large_entry != 0 && ((large_entry >> large_bytes_bits) & 31U) == unit_in_granule(address);
  }

  Block take_huge(const ExclusiveGuard& guard, std::uintptr_t address);

  template <class Entry>
  Entry* leaf(Entry*& slot, std::size_t bytes);

  Region* regions_ = nullptr;
  /// Regions with a leaf lie between these; keeps clear() from walking two million entries.
  std::size_t first_region_ = region_count;
  std::size_t last_region_ = 0;
  /// Blocks whose size does not fit an entry: rare enough for a sorted table.
  RangeMap huge_;
};

// Inline, as they run at every event.

inline Block BlockTable::small_block(std::uint32_t entry) {
  if (entry == 0) {
    return Block{SiteId::root, 0};
  }
  const std::uint32_t units = (entry & ((1U << small_units_bits) - 1)) + 1;
  return Block{SiteId{entry >> small_units_bits}, static_cast<std::int64_t>(units * unit)};
}

inline Block BlockTable::large_block(std::uint64_t entry) {
  return Block{SiteId{static_cast<std::uint32_t>(entry >> (large_bytes_bits + 5))},
               static_cast<std::int64_t>(entry & (huge_limit - 1))};
}

inline Block BlockTable::take(const ExclusiveGuard& guard, const void* pointer) {
  const std::uintptr_t address = number(pointer);
  if (region_of(address) >= region_count) {
    return Block{SiteId::root, 0};
  }
  const Region& region = regions_[region_of(address)];
  if (region.large != nullptr) {
    std::uint64_t& entry = region.large[large_index(address)];
    if (starts_at(entry, address)) {
      const Block block = large_block(entry);
      entry = 0;
      return block;
    }
  }
  if (region.small != nullptr) {
    std::uint32_t& entry = region.small[small_index(address)];
    if (entry != 0) {
      const Block block = small_block(entry);
      entry = 0;
      return block;
    }
  }
  return huge_.empty() ? Block{SiteId::root, 0} : take_huge(guard, address);
}

template <class Visit>
void BlockTable::for_each(const ExclusiveGuard& guard, Visit visit) const {
  for (std::size_t region = first_region_; region <= last_region_; ++region) {
    const Region& each = regions_[region];
    for (std::size_t i = 0; each.small != nullptr && i < small_leaf_bytes / sizeof(*each.small); ++i) {
      if (each.small[i] != 0) {
        visit(small_block(each.small[i]));
      }
    }
    for (std::size_t i = 0; each.large != nullptr && i < large_leaf_bytes / sizeof(*each.large); ++i) {
      if (each.large[i] != 0) {
        visit(large_block(each.large[i]));
      }
    }
  }
  huge_.for_each(guard, [&](const Range& range) { visit(Block{range.site, range.counted}); });
}

template <class Stale>
bool BlockTable::put(const ExclusiveGuard& guard, const void* pointer, std::size_t requested, SiteId site,
                     Stale stale) {
  const std::uintptr_t address = number(pointer);
  if (region_of(address) >= region_count) {
    return false;
  }
  if (const Block same_start = take(guard, pointer); same_start.bytes != 0) [[unlikely]] {
    stale(same_start);
  }
  Region& region = regions_[region_of(address)];
  const auto site_bits = static_cast<std::uint64_t>(index_of(site));
  if (requested <= small_limit) {
    std::uint32_t* entries = region.small != nullptr ? region.small : leaf(region.small, small_leaf_bytes);
    if (entries == nullptr) {
      return false;
    }
    const auto units = static_cast<std::uint32_t>(counted_bytes(requested) / static_cast<std::int64_t>(unit));
    entries[small_index(address)] = static_cast<std::uint32_t>(site_bits << small_units_bits) | (units - 1);
    return true;
  }
  if (requested >= huge_limit) [[unlikely]] {
    huge_.remove(guard, address, requested, [&](const Range& gone) { stale(Block{gone.site, gone.counted}); });
    return !fails(Failpoint::huge_blocks_full) &&
           huge_.insert(
               guard, Range{address, address + requested, static_cast<std::int64_t>(requested), site, Counting::whole});
  }
  std::uint64_t* entries = region.large != nullptr ? region.large : leaf(region.large, large_leaf_bytes);
  if (entries == nullptr) {
    return false;
  }
  std::uint64_t& entry = entries[large_index(address)];
  if (entry != 0) [[unlikely]] {
    // Two live blocks of more than 512 bytes can't both begin in the same 512 bytes.
    stale(large_block(entry));
  }
  entry = (site_bits << (large_bytes_bits + 5)) | (unit_in_granule(address) << large_bytes_bits) | requested;
  return true;
}

}  // namespace fil
