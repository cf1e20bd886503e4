// What a forked child begins with, side by side in few pages: each page that it touches costs it as much as fifty
// events, and most children live for some thousand.
#pragma once

#include "call_tree.hpp"
#include "few_blocks.hpp"

namespace fil {

/// Reserved by every process that may fork, and wiped in its children.
struct Nursery {
  CallTree::Lent tree;
  FewBlocks blocks;
  /// In the place of shared memory: 4096 call sites of 512 codes, of which the first pages are touched.
  static constexpr std::uint32_t segment_scale = 8;
  alignas(64) std::byte segment[segment::bytes_at_scale(segment_scale)];

  /// From its begin on, what every child touches, up to the first page of counts: at once that costs less than by a
  /// fault for each page, or two, where a read comes before the first write.
  static constexpr std::size_t bytes_at_first() { return sizeof(CallTree::Lent) + sizeof(FewBlocks) + 2 * 4096; }
};

}  // namespace fil
