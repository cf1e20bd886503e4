// The blocks of a process that has only few: a hash table in two pages. In the shadow of the address space, where
// allocators put the blocks of a process that was just forked into the gaps of its parent's memory, nearly each would
// touch a page of its own.
#pragma once

#include <string.h>

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"

namespace fil {

/// A block as the ledger counts it.
struct Block {
  SiteId site;
  /// The requested size; up to `small_limit` rounded up to 16, which is what pymalloc and malloc really use.
  std::int64_t bytes;
};

/// Zeroed memory is an empty table.
class FewBlocks {
 public:
  /// So that probes stay short.
  static constexpr std::size_t most = 384;

  /// Enters a block. False if there are too many, or it is too large. Calls `stale(Block)` for one that stood in its
  /// place.
  template <class Stale>
  bool put(std::uintptr_t address, std::int64_t bytes, SiteId site, Stale stale) {
    if (static_cast<std::uint64_t>(bytes) >> bytes_bits != 0) {
      return false;
    }
    Entry& entry = entries_[slot_of(address)];
    if (entry.address != 0) {
      stale(block_of(entry));
    } else if (count_ == most) {
      return false;
    } else {
      ++count_;
    }
    entry = Entry{address, std::uint64_t{index_of(site)} << bytes_bits | static_cast<std::uint64_t>(bytes)};
    return true;
  }

  /// Removes the block that starts there; its `bytes` are 0 if none does.
  Block take(std::uintptr_t address) {
    std::size_t hole = slot_of(address);
    const Block block = block_of(entries_[hole]);
    if (entries_[hole].address == 0) {
      return block;
    }
    // Backward-shift deletion (Knuth 6.4, algorithm R).
    for (std::size_t slot = next(hole); entries_[slot].address != 0; slot = next(slot)) {
      const std::size_t from_home = (slot - first_slot(entries_[slot].address)) & (capacity - 1);
      if (from_home >= ((slot - hole) & (capacity - 1))) {
        entries_[hole] = entries_[slot];
        hole = slot;
      }
    }
    entries_[hole] = Entry{0, 0};
    --count_;
    return block;
  }

  /// Calls `visit(std::uintptr_t address, Block)` for each.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const Entry& entry : entries_) {
      if (entry.address != 0) {
        visit(entry.address, block_of(entry));
      }
    }
  }

  void clear() {
    if (count_ != 0) {
      memset(static_cast<void*>(entries_), 0, sizeof(entries_));
      count_ = 0;
    }
  }

 private:
  /// The site in 24 bits, above the bytes.
  struct Entry {
    std::uint64_t address;
    std::uint64_t what;
  };
  static constexpr unsigned bytes_bits = 40;
  static constexpr unsigned capacity_bits = 9;
  static constexpr std::size_t capacity = std::size_t{1} << capacity_bits;

  static Block block_of(const Entry& entry) {
    return Block{SiteId{static_cast<std::uint32_t>(entry.what >> bytes_bits)},
                 static_cast<std::int64_t>(entry.what & ((std::uint64_t{1} << bytes_bits) - 1))};
  }
  static std::size_t first_slot(std::uintptr_t address) {
    return static_cast<std::size_t>((address >> 4) * 0x9e37'79b9'7f4a'7c15U >> (64 - capacity_bits));
  }
  static std::size_t next(std::size_t slot) { return (slot + 1) & (capacity - 1); }
  /// Where it is, or where it would be.
  std::size_t slot_of(std::uintptr_t address) const {
    std::size_t slot = first_slot(address);
    while (entries_[slot].address != address && entries_[slot].address != 0) {
      slot = next(slot);
    }
    return slot;
  }

  std::size_t count_;
  Entry entries_[capacity];
};

}  // namespace fil
