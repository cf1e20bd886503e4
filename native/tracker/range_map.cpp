#include "range_map.hpp"

#include <string.h>

#include "block_table.hpp"
#include "system.hpp"

namespace fil {

bool RangeMap::prepare() {
  if (ranges_ == nullptr) {
    ranges_ = static_cast<Range*>(system::reserve(capacity * sizeof(Range)));
  }
  return ranges_ != nullptr;
}

std::size_t RangeMap::find(std::uintptr_t address) const {
  std::size_t low = 0;
  std::size_t high = count_;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (ranges_[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void RangeMap::insert_at(std::size_t index, Range range) {
  memmove(ranges_ + index + 1, ranges_ + index, (count_ - index) * sizeof(Range));
  ranges_[index] = range;
  ++count_;
}

void RangeMap::erase_at(std::size_t index) {
  memmove(ranges_ + index, ranges_ + index + 1, (count_ - index - 1) * sizeof(Range));
  --count_;
}

bool RangeMap::insert(const ExclusiveGuard&, std::uintptr_t start, std::size_t bytes, SiteId site) {
  if (count_ == capacity) {
    return false;
  }
  insert_at(find(start), Range{start, start + bytes, site});
  return true;
}

Block RangeMap::take_start(const ExclusiveGuard&, std::uintptr_t start) {
  const std::size_t index = find(start);
  if (index == count_ || ranges_[index].start != start) {
    return Block{SiteId::root, 0};
  }
  const Block block{ranges_[index].site, static_cast<std::int64_t>(ranges_[index].end - ranges_[index].start)};
  erase_at(index);
  return block;
}

}  // namespace fil
