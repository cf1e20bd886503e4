// A fixed-size hash table from three numbers to a site: how the call tree finds the child for (caller, code, place).
#pragma once

#include <cstddef>
#include <cstdint>

#include "../shared/ids.hpp"
#include "exclusive.hpp"
#include "system.hpp"

namespace fil {

class TripleMap {
 public:
  struct Key {
    SiteId parent;
    CodeId code;
    /// An instruction's offset or a line, by the table's purpose.
    std::uint32_t place;

    bool operator==(const Key&) const = default;
  };

  explicit constexpr TripleMap(std::size_t capacity) : capacity_(capacity) {}

  /// Reserves the table; false if there is no address space for it.
  bool prepare() {
    if (entries_ == nullptr) {
      entries_ = static_cast<Entry*>(system::reserve(capacity_ * sizeof(Entry)));
    }
    return entries_ != nullptr;
  }

  /// The value, or SiteId::root (never a value) if the key is not there.
  SiteId find(const ExclusiveGuard&, const Key& key) const {
    for (std::size_t slot = first_slot(key);; slot = next(slot)) {
      const Entry& entry = entries_[slot];
      if (entry.value == SiteId::root || entry.key == key) {
        return entry.value;
      }
    }
  }

  /// False if the table is full. The key must not be there.
  bool insert(const ExclusiveGuard&, const Key& key, SiteId value) {
    if (count_ >= capacity_ / 4 * 3) {
      return false;
    }
    std::size_t slot = first_slot(key);
    while (entries_[slot].value != SiteId::root) {
      slot = next(slot);
    }
    entries_[slot] = Entry{key, value};
    ++count_;
    return true;
  }

  void clear(const ExclusiveGuard&) {
    if (count_ != 0) {
      system::discard(entries_, capacity_ * sizeof(Entry));
      count_ = 0;
    }
  }

 private:
  struct Entry {
    Key key;
    SiteId value;
  };

  std::size_t first_slot(const Key& key) const {
    // Multiplication by odd constants spreads the low bits upwards; the fold brings them back (Fibonacci hashing,
    // Knuth 6.4).
    std::uint64_t hash = (std::uint64_t{index_of(key.parent)} << 32) | index_of(key.code);
    hash = (hash ^ (hash >> 29)) * 0x9e37'79b9'7f4a'7c15U + key.place;
    hash = (hash ^ (hash >> 32)) * 0xd6e8'feb8'6659'fd93U;
    return (hash ^ (hash >> 32)) & (capacity_ - 1);
  }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (capacity_ - 1); }

  /// A power of two.
  std::size_t capacity_;
  Entry* entries_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace fil
