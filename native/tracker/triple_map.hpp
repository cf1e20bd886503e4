// A hash table for the call tree: from a caller, a code object and a place in it to a site or a line.
#pragma once

#include <string.h>

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"
#include "exclusive.hpp"
#include "system.hpp"

namespace fil {

/// @tparam Value whose `Value{}` is never entered: it stands for "not there".
/// @tparam place_bits so many low bits of a place tell hardly more than the place without them: neighbours in code are
///   neighbours in the table, so that code which runs straight on finds its sites in few cache lines.
template <class Value, unsigned place_bits>
class TripleMap {
 public:
  struct Key {
    SiteId parent;
    CodeId code;
    /// An instruction's offset or a line, by the table's purpose.
    std::uint32_t place;

    bool operator==(const Key&) const = default;
  };

  /// @param most_slots a power of two; the table grows to it by doubling, so that few entries touch few pages.
  explicit constexpr TripleMap(std::size_t most_slots) : most_slots_(most_slots) {}

  /// Reserves a first, small table; false if there is no address space for it.
  bool prepare() {
    if (entries_ == nullptr) {
      entries_ = allocate(first_capacity);
      capacity_ = first_capacity;
    }
    return entries_ != nullptr;
  }

  /// In a forked child, which has nothing of what its parent entered: an empty table in memory that is lent to it, of
  /// `lent_capacity` zeroed entries, until that is full.
  void start_over(void* lent) {
    // A larger one takes much address space.
    if (!is_lent_ && (capacity_ > first_capacity || !system::children_have_nothing())) {
      system::unreserve(entries_, capacity_ * sizeof(Entry));
    }
    entries_ = static_cast<Entry*>(lent);
    capacity_ = lent_capacity;
    count_ = 0;
    is_lent_ = true;
  }
  static constexpr std::size_t lent_bytes() { return lent_capacity * sizeof(Entry); }

  /// The value, or `Value{}` if the key is not there.
  Value find(const ExclusiveGuard&, const Key& key) const {
    for (std::size_t slot = first_slot(key);; slot = next(slot)) {
      const Entry& entry = entries_[slot];
      if (entry.value == Value{} || entry.key == key) {
        return entry.value;
      }
    }
  }

  /// False if the table is full. The key must not be there.
  bool insert(const ExclusiveGuard&, const Key& key, Value value) {
    if (count_ >= capacity_ / 4 * 3 && !grow()) {
      return false;
    }
    enter(Entry{key, value});
    ++count_;
    return true;
  }

  void clear(const ExclusiveGuard&) {
    if (capacity_ > first_capacity) {
      if (Entry* small = allocate(first_capacity); small != nullptr) {
        system::unreserve(entries_, capacity_ * sizeof(Entry));
        entries_ = small;
        capacity_ = first_capacity;
        count_ = 0;
        return;
      }
    }
    if (is_lent_) {
      memset(static_cast<void*>(entries_), 0, lent_bytes());
      count_ = 0;
    }
    if (count_ != 0) {
      system::discard(entries_, capacity_ * sizeof(Entry));
      count_ = 0;
    }
  }

  /// Calls `visit(const void* address, std::size_t bytes)` for the table's own memory.
  template <class Visit>
  void each_reservation(const ExclusiveGuard&, Visit visit) const {
    visit(entries_, capacity_ * sizeof(Entry));
  }

 private:
  struct Entry {
    Key key;
    Value value;
  };

  /// 16 KiB.
  static constexpr std::size_t first_capacity = 1024;
  /// A child that lives for a millisecond meets some dozens of call sites.
  static constexpr std::size_t lent_capacity = 128;
  /// Slots of four cache lines.
  static constexpr std::uint32_t neighbours = 16;

  static Entry* allocate(std::size_t slots) {
    return static_cast<Entry*>(system::reserve_for_this_process(slots * sizeof(Entry)));
  }

  void enter(const Entry& entry) {
    std::size_t slot = first_slot(entry.key);
    while (entries_[slot].value != Value{}) {
      slot = next(slot);
    }
    entries_[slot] = entry;
  }

  bool grow() {
    Entry* larger = capacity_ < most_slots_ ? allocate(2 * capacity_) : nullptr;
    if (larger == nullptr) {
      return false;
    }
    Entry* before = entries_;
    const std::size_t slots = capacity_;
    entries_ = larger;
    capacity_ = 2 * slots;
    for (std::size_t slot = 0; slot < slots; ++slot) {
      if (before[slot].value != Value{}) {
        enter(before[slot]);
      }
    }
    if (!is_lent_) {
      system::unreserve(before, slots * sizeof(Entry));
    }
    is_lent_ = false;
    return true;
  }

  std::size_t first_slot(const Key& key) const {
    // Multiplication by odd constants spreads the low bits upwards; the fold brings them back (Fibonacci hashing,
    // Knuth 6.4).
    const std::uint32_t place = key.place >> place_bits;
    std::uint64_t hash = (std::uint64_t{index_of(key.parent)} << 32) | index_of(key.code);
    hash = (hash ^ (hash >> 29)) * 0x9e37'79b9'7f4a'7c15U + place / neighbours;
    hash = (hash ^ (hash >> 32)) * 0xd6e8'feb8'6659'fd93U;
    return ((hash ^ (hash >> 32)) * neighbours + place % neighbours) & (capacity_ - 1);
  }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (capacity_ - 1); }

  std::size_t most_slots_;
  /// A power of two.
  std::size_t capacity_ = 0;
  Entry* entries_ = nullptr;
  std::size_t count_ = 0;
  bool is_lent_ = false;
};

}  // namespace fil
