#include "block_table.hpp"

#include "checks/checks.hpp"
#include "system.hpp"

namespace fil {

constexpr BlockTable::Directory BlockTable::nothing{};

bool BlockTable::prepare() {
  if (directories_ != nullptr) {
    return true;
  }
  own_directories_ = static_cast<Directory**>(system::reserve(2 * directory_count * sizeof(Directory*)));
  if (own_directories_ == nullptr) {
    return false;
  }
  for (std::size_t i = 0; i < 2 * directory_count; ++i) {
    // Never written to: writable_region() makes a directory of its own first.
    own_directories_[i] = const_cast<Directory*>(&nothing);
  }
  directories_ = own_directories_;
  no_directories_ = own_directories_ + directory_count;
  return true;
}

/// The region of an address, in a directory of its own; null if there is no memory for one.
BlockTable::Region* BlockTable::writable_region(std::uintptr_t address) {
  Directory*& directory = directories_[address >> (region_bits + directory_bits)];
  if (directory == &nothing) {
    auto* made = static_cast<Directory*>(system::reserve(sizeof(Directory)));
    if (made == nullptr) {
      return nullptr;
    }
    directory = made;
  }
  return &directory->regions[(address >> region_bits) & (directory_size - 1)];
}

SmallLeaf* BlockTable::new_small_leaf(std::uintptr_t address) {
  Region* region = fails(Failpoint::small_leaf) ? nullptr : writable_region(address);
  if (region == nullptr) {
    return nullptr;
  }
  region->small = static_cast<SmallLeaf*>(system::reserve_for_this_process(sizeof(SmallLeaf)));
  return region->small;
}

std::uint64_t* BlockTable::new_large_leaf(std::uintptr_t address) {
  Region* region = fails(Failpoint::large_leaf) ? nullptr : writable_region(address);
  if (region == nullptr) {
    return nullptr;
  }
  region->large = static_cast<std::uint64_t*>(system::reserve_for_this_process(large_leaf_bytes));
  return region->large;
}

Block BlockTable::take_huge(const ExclusiveGuard& guard, std::uintptr_t address) {
  const Range* found = huge_.find(guard, address);
  if (found == nullptr || found->start != address) {
    return Block{SiteId::root, 0};
  }
  const Block block{found->site, found->bytes()};
  huge_.remove(guard, address, static_cast<std::size_t>(block.bytes), [](const Range&) {});
  return block;
}

void BlockTable::start_over(const ExclusiveGuard& guard, FewBlocks* few) {
  few_ = nullptr;
  directories_ = own_directories_;
  if (!system::children_have_nothing()) {
    clear(guard);
  }
  huge_.clear(guard);
  if (few != nullptr && own_directories_ != nullptr) {
    few_ = few;
    directories_ = no_directories_;
  }
}

void BlockTable::clear(const ExclusiveGuard& guard) {
  if (directories_ == nullptr) {
    return;
  }
  for (std::size_t i = 0; i < directory_count; ++i) {
    if (directories_[i] == &nothing) {
      continue;
    }
    for (Region& region : directories_[i]->regions) {
      if (region.small != nullptr) {
        system::unreserve(region.small, sizeof(SmallLeaf));
      }
      if (region.large != nullptr) {
        system::unreserve(region.large, large_leaf_bytes);
      }
    }
    // The program can have the address space, while it is not tracked.
    system::unreserve(directories_[i], sizeof(Directory));
    directories_[i] = const_cast<Directory*>(&nothing);
  }
  if (few_ != nullptr) {
    few_->clear();
  }
  huge_.clear(guard);
}

}  // namespace fil
