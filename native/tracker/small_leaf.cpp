#include "small_leaf.hpp"

#include "checks/checks.hpp"

namespace fil {

SmallEntry SmallLeaf::put(std::size_t offset, SmallEntry entry) {
  return is_wide(offset) ? put_wide(offset, entry) : put_narrow(offset, entry);
}

inline SmallEntry SmallLeaf::put_wide(std::size_t offset, SmallEntry entry) {
  const SmallEntry stale = wide_entry(offset);
  set_wide_entry(offset, entry);
  if (stale == 0) [[likely]] {
    ++blocks_of_wide_[offset >> page_bits];
  }
  return stale;
}

SmallEntry SmallLeaf::take_wide(std::size_t offset) {
  const SmallEntry entry = wide_entry(offset);
  if (entry == 0) {
    return 0;
  }
  set_wide_entry(offset, 0);
  if (--blocks_of_wide_[offset >> page_bits] == 0) [[unlikely]] {
    std::uint32_t& state = palette_of(offset).places[0];
    if (const std::uint32_t widenings = state & ~is_wide_bit; widenings < most_widenings) {
      pass(Mark::page_narrowed);
      state = widenings;
    }
  }
  return entry;
}

[[gnu::noinline]] SmallEntry SmallLeaf::put_narrow(std::size_t offset, SmallEntry entry) {
  const Palette& palette = palette_of(offset);
  const std::uint32_t before = index_at(offset);
  const SmallEntry stale = before == 0 ? 0 : palette.places[before];
  set_index(offset, 0);
  std::uint32_t index = palette.index_of(entry);
  if (index == 0) {
    index = new_index(offset, entry);
  }
  if (index != 0) {
    set_index(offset, index);
  } else {
    widen(offset >> page_bits);
    put_wide(offset, entry);
  }
  return stale;
}

/// Adds an entry to the palette, in the place of one that no block has any more if it is full. 0 if the page has too
/// many kinds of blocks.
std::uint32_t SmallLeaf::new_index(std::size_t offset, SmallEntry entry) {
  Palette& palette = palette_of(offset);
  std::uint32_t free = 1;
  while (free < palette_size && palette.places[free] != 0) {
    ++free;
  }
  if (free == palette_size) {
    const std::uint32_t used = used_indexes(offset >> page_bits);
    const auto unused = palette_size - 1 - static_cast<unsigned>(__builtin_popcount(used));
    if (unused < least_unused) {
      return 0;
    }
    pass(Mark::palette_cleaned);
    for (std::uint32_t index = palette_size - 1; index != 0; --index) {
      if ((used >> index & 1) == 0) {
        palette.places[index] = 0;
        free = index;
      }
    }
  }
  palette.places[free] = entry;
  return free;
}

/// A bit for each index that a unit of the page has.
std::uint32_t SmallLeaf::used_indexes(std::size_t page) const {
  constexpr std::size_t bytes = units_of_page / 2;
  std::uint32_t used = 0;
  for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    __builtin_memcpy(&word, indexes_ + page * bytes + at, sizeof(word));
    for (; word != 0; word >>= index_bits) {
      used |= 1U << (word & index_mask);
    }
  }
  return used & ~1U;
}

void SmallLeaf::widen(std::size_t page) {
  pass(Mark::page_widened);
  const Palette narrow = palettes_[page];
  palettes_[page] = Palette{};
  palettes_[page].places[0] = is_wide_bit | (narrow.places[0] + 1);
  const std::size_t start = page << page_bits;
  for (std::size_t offset = start; offset < start + (std::size_t{1} << page_bits); offset += unit) {
    if (const std::uint32_t index = index_at(offset); index != 0) {
      set_index(offset, 0);
      put_wide(offset, narrow.places[index]);
    }
  }
}

}  // namespace fil
