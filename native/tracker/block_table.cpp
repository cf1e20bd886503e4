#include "block_table.hpp"

#include "checks/checks.hpp"
#include "system.hpp"

namespace fil {

bool BlockTable::prepare() {
  if (regions_ == nullptr) {
    regions_ = static_cast<Region*>(system::reserve(region_count * sizeof(Region)));
  }
  return regions_ != nullptr;
}

template <class Entry>
Entry* BlockTable::leaf(Entry*& slot, std::size_t bytes) {
  slot = fails(sizeof(Entry) == sizeof(std::uint32_t) ? Failpoint::small_leaf : Failpoint::large_leaf)
             ? nullptr
             : static_cast<Entry*>(system::reserve(bytes));
  if (slot == nullptr) {
    return nullptr;
  }
  const auto region =
      static_cast<std::size_t>(reinterpret_cast<std::byte*>(&slot) - reinterpret_cast<std::byte*>(regions_)) /
      sizeof(Region);
  first_region_ = region < first_region_ ? region : first_region_;
  last_region_ = region > last_region_ ? region : last_region_;
  return slot;
}

template std::uint32_t* BlockTable::leaf(std::uint32_t*& slot, std::size_t bytes);
template std::uint64_t* BlockTable::leaf(std::uint64_t*& slot, std::size_t bytes);

Block BlockTable::take_huge(const ExclusiveGuard& guard, std::uintptr_t address) {
  const Range* found = huge_.find(guard, address);
  if (found == nullptr || found->start != address) {
    return Block{SiteId::root, 0};
  }
  const Block block{found->site, found->bytes()};
  huge_.remove(guard, address, static_cast<std::size_t>(block.bytes), [](const Range&) {});
  return block;
}

void BlockTable::clear(const ExclusiveGuard& guard) {
  for (std::size_t region = first_region_; region <= last_region_; ++region) {
    if (regions_[region].small != nullptr) {
      system::discard(regions_[region].small, small_leaf_bytes);
    }
    if (regions_[region].large != nullptr) {
      system::discard(regions_[region].large, large_leaf_bytes);
    }
  }
  huge_.clear(guard);
}

}  // namespace fil
