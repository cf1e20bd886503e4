// The small blocks of one region of addresses: an index of 4 bits for each 16 bytes, and beside them what they mean.
//
// A page of addresses holds few kinds of blocks: pymalloc keeps one size in each of its pools, and most of them come
// from the same few lines. So each page has a palette of up to 15 entries, and its units say which one starts there.
// That takes 3.5 % of a heap of small objects where a whole entry for each unit would take 19 %. A page with more kinds
// becomes wide: its index holds the lower bits of an entry then, and an array that is not touched until then the rest.
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cstddef>
#include <cstdint>

#include "../shared/segment.hpp"

namespace fil {

/// Who allocated a small block, and the units that it takes (the lowest 5 bits, at least 1). 0 for no block; the root,
/// site 0, holds none.
using SmallEntry = std::uint32_t;

class SmallLeaf {
 public:
  /// Blocks are counted in units of so many bytes, and start at multiples of it.
  static constexpr std::size_t unit = 16;
  static constexpr unsigned units_bits = 5;
  static constexpr std::uint32_t most_units = (1U << units_bits) - 1;
  /// A leaf covers 16 MiB of addresses and reserves 3.2 MiB, sparse. Small enough for processes with little address
  /// space, large enough to need few of them.
  static constexpr unsigned region_bits = 24;

  static SmallEntry entry(SiteId site, std::uint32_t units) { return index_of(site) << units_bits | units; }
  static SiteId site_of(SmallEntry entry) { return SiteId{entry >> units_bits}; }
  static std::int64_t bytes_of(SmallEntry entry) { return static_cast<std::int64_t>((entry & most_units) * unit); }

  // `offset` is that of a block's address in the region.

  /// Enters a block if nothing is known to start there and its page has such blocks already, as nearly always.
  bool put_known(std::size_t offset, SmallEntry entry);
  /// Enters a block. Returns what stood in its place, or 0.
  [[gnu::noinline]] SmallEntry put(std::size_t offset, SmallEntry entry);
  /// Removes the block that starts there and returns it; 0 if none does, or if its page is wide.
  SmallEntry take_known(std::size_t offset);
  /// The same for wide pages.
  [[gnu::noinline]] SmallEntry take_wide(std::size_t offset);
  bool is_wide(std::size_t offset) const { return palette_of(offset).is_wide(); }

  /// Calls `visit(SmallEntry)` for each block.
  template <class Visit>
  void for_each(Visit visit) const;

 private:
  /// Pages are as large as pools: https://github.com/python/cpython/blob/v3.11.0/Objects/obmalloc.c (POOL_BITS).
  static constexpr unsigned page_bits = 14;
  static constexpr std::size_t page_count = std::size_t{1} << (region_bits - page_bits);
  static constexpr std::size_t units_of_page = (std::size_t{1} << page_bits) / unit;
  static constexpr unsigned index_bits = 4;
  static constexpr std::uint32_t index_mask = (1U << index_bits) - 1;

  // The bits of an entry that a wide page's index doesn't hold. At 21 a unit a heap of nothing but wide pages would
  // cost 19.9 %, of which 0.4 % are palettes.
  static constexpr unsigned rest_bits = 21;
  static constexpr std::uint32_t rest_mask = (1U << rest_bits) - 1;
  static constexpr unsigned entry_bits = rest_bits + index_bits;
  static_assert(segment::site_capacity <= 1U << (entry_bits - units_bits));

  // A palette's first place is the state of its page and can't be mistaken for an entry: entries are at least
  // `least_entry` and less than 1 << entry_bits. Wide pages have no palette, so that looking there fails.
  // It is how often the page became wide (less than 32), and the highest bit while it is.
  static constexpr SmallEntry least_entry = 1U << units_bits;
  static constexpr std::uint32_t is_wide_bit = 1U << 31;
  /// An empty wide page becomes narrow, but not for ever: it costs 2 us each time.
  static constexpr std::uint32_t most_widenings = 4;
  /// A palette with fewer unused entries than that is as good as full: looking for them costs 0.3 us.
  static constexpr unsigned least_unused = 5;

  struct alignas(64) Palette {
    /// The state, and the entries.
    std::uint32_t places[std::size_t{1} << index_bits];
    std::uint32_t index_of(SmallEntry entry) const;
    bool is_wide() const { return (places[0] & is_wide_bit) != 0; }
  };
  static constexpr std::size_t palette_size = sizeof(Palette) / sizeof(SmallEntry);

  // Of all these, `offset` is a multiple of the unit.
  Palette& palette_of(std::size_t offset) { return palettes_[offset >> page_bits]; }
  const Palette& palette_of(std::size_t offset) const { return palettes_[offset >> page_bits]; }
  /// Of two units in each byte, the lower one in the lower bits.
  static unsigned shift_of(std::size_t offset) { return offset / (unit / index_bits) & index_bits; }
  std::uint32_t index_at(std::size_t offset) const {
    return indexes_[offset / (2 * unit)] >> shift_of(offset) & index_mask;
  }
  void set_index(std::size_t offset, std::uint32_t index) {
    std::uint8_t& both = indexes_[offset / (2 * unit)];
    both = static_cast<std::uint8_t>((both & ~(index_mask << shift_of(offset))) | index << shift_of(offset));
  }

  std::uint32_t used_indexes(std::size_t page) const;
  std::uint32_t new_index(std::size_t offset, SmallEntry entry);
  SmallEntry wide_entry(std::size_t offset) const;
  void set_wide_entry(std::size_t offset, SmallEntry entry);
  SmallEntry put_wide(std::size_t offset, SmallEntry entry);
  SmallEntry put_narrow(std::size_t offset, SmallEntry entry);
  void widen(std::size_t page);

  Palette palettes_[page_count];
  /// How many blocks a wide page has. Not in its palette: reading all of a palette just after a part was written
  /// stalls.
  std::uint16_t blocks_of_wide_[page_count];
  std::uint8_t indexes_[page_count * units_of_page / 2];
  /// Of wide pages, `rest_bits` for each unit; one word more, as they are not aligned.
  std::uint8_t rests_[page_count * units_of_page * rest_bits / 8 + sizeof(std::uint32_t)];
};

// Inline, as they run at every event.

/// 0 if the entry isn't there. All places at once, as which one it is could not be predicted.
[[gnu::always_inline]] inline std::uint32_t SmallLeaf::Palette::index_of(SmallEntry entry) const {
#if defined(__SSE2__)
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(entry));
  const auto* fours = reinterpret_cast<const __m128i*>(places);
  const auto same = [&](int four) { return _mm_cmpeq_epi32(_mm_load_si128(fours + four), wanted); };
  const __m128i found = _mm_packs_epi16(_mm_packs_epi32(same(0), same(1)), _mm_packs_epi32(same(2), same(3)));
  // Bit 0 is never set, as the state is no entry.
  const auto bits = static_cast<std::uint32_t>(_mm_movemask_epi8(found));
  return bits == 0 ? 0 : static_cast<std::uint32_t>(__builtin_ctz(bits));
#else
  for (std::uint32_t index = 1; index < palette_size; ++index) {
    if (places[index] == entry) {
      return index;
    }
  }
  return 0;
#endif
}

[[gnu::always_inline]] inline bool SmallLeaf::put_known(std::size_t offset, SmallEntry entry) {
  std::uint8_t& both = indexes_[offset / (2 * unit)];
  const std::uint32_t index = palette_of(offset).index_of(entry);
  if (index == 0 || (both & index_mask << shift_of(offset)) != 0) [[unlikely]] {
    return false;
  }
  both = static_cast<std::uint8_t>(both | index << shift_of(offset));
  return true;
}

[[gnu::always_inline]] inline SmallEntry SmallLeaf::take_known(std::size_t offset) {
  std::uint8_t& both = indexes_[offset / (2 * unit)];
  const SmallEntry entry = palette_of(offset).places[both >> shift_of(offset) & index_mask];
  // One comparison for index 0 and for wide pages.
  if (entry - least_entry >= (1U << entry_bits) - least_entry) [[unlikely]] {
    return 0;
  }
  both = static_cast<std::uint8_t>(both & ~(index_mask << shift_of(offset)));
  return entry;
}

inline SmallEntry SmallLeaf::wide_entry(std::size_t offset) const {
  const std::size_t bit = offset / unit * rest_bits;
  std::uint32_t word = 0;
  __builtin_memcpy(&word, rests_ + bit / 8, sizeof(word));
  return (word >> bit % 8 & rest_mask) << index_bits | index_at(offset);
}

inline void SmallLeaf::set_wide_entry(std::size_t offset, SmallEntry entry) {
  const std::size_t bit = offset / unit * rest_bits;
  std::uint32_t word = 0;
  __builtin_memcpy(&word, rests_ + bit / 8, sizeof(word));
  word = (word & ~(rest_mask << bit % 8)) | entry >> index_bits << bit % 8;
  __builtin_memcpy(rests_ + bit / 8, &word, sizeof(word));
  set_index(offset, entry & index_mask);
}

template <class Visit>
void SmallLeaf::for_each(Visit visit) const {
  for (std::size_t offset = 0; offset < std::size_t{1} << region_bits; offset += unit) {
    const Palette& palette = palette_of(offset);
    const std::uint32_t index = index_at(offset);
    const SmallEntry entry = palette.is_wide() ? wide_entry(offset) : index == 0 ? 0 : palette.places[index];
    if (entry != 0) {
      visit(entry);
    }
  }
}

}  // namespace fil
