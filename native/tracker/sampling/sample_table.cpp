#include "sample_table.hpp"

#include "../checks/checks.hpp"
#include "../system.hpp"

namespace fil::sampling {

bool SampleTable::prepare() {
  if (slots_ == nullptr) {
    slots_ = static_cast<Sample*>(system::reserve(first_capacity * sizeof(Sample)));
    capacity_ = slots_ == nullptr ? 0 : first_capacity;
  }
  return slots_ != nullptr;
}

bool SampleTable::put(const ExclusiveGuard&, const Sample& sample) {
  if (2 * (count_ + 1) > capacity_ && !grow()) {
    return false;
  }
  insert(sample);
  ++count_;
  std::atomic<std::uint8_t>& filter = filter_of(sample.address);
  const std::uint8_t in_page = filter.load(std::memory_order_relaxed);
  filter.store(in_page == UINT8_MAX ? in_page : static_cast<std::uint8_t>(in_page + 1), std::memory_order_relaxed);
  return true;
}

void SampleTable::insert(const Sample& sample) {
  std::size_t slot = home(sample.address);
  while (slots_[slot].address != 0) {
    slot = next(slot);
  }
  slots_[slot] = sample;
}

bool SampleTable::grow() {
  auto* larger = fails(Failpoint::sample_table_full)
                     ? nullptr
                     : static_cast<Sample*>(system::reserve(2 * capacity_ * sizeof(Sample)));
  if (larger == nullptr) {
    return false;
  }
  Sample* const smaller = slots_;
  const std::size_t before = capacity_;
  slots_ = larger;
  capacity_ = 2 * before;
  for (std::size_t slot = 0; slot < before; ++slot) {
    if (smaller[slot].address != 0) {
      insert(smaller[slot]);
    }
  }
  system::unreserve(smaller, before * sizeof(Sample));
  return true;
}

Sample SampleTable::take(const ExclusiveGuard&, const void* block) {
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  std::size_t slot = home(address);
  while (slots_[slot].address != address) {
    if (slots_[slot].address == 0) {
      return Sample{};
    }
    slot = next(slot);
  }
  const Sample taken = slots_[slot];
  std::atomic<std::uint8_t>& filter = filter_of(address);
  const std::uint8_t in_page = filter.load(std::memory_order_relaxed);
  if (in_page != UINT8_MAX) {
    filter.store(static_cast<std::uint8_t>(in_page - 1), std::memory_order_relaxed);
  }
  --count_;
  // Whoever was pushed on by the entry that goes moves up into its place.
  for (std::size_t hole = slot;;) {
    slots_[hole].address = 0;
    std::size_t candidate = hole;
    do {
      candidate = next(candidate);
      if (slots_[candidate].address == 0) {
        return taken;
      }
      // Stays if its home lies cyclically in (hole, candidate].
    } while (((candidate - home(slots_[candidate].address)) & (capacity_ - 1)) <
             ((candidate - hole) & (capacity_ - 1)));
    slots_[hole] = slots_[candidate];
    hole = candidate;
  }
}

void SampleTable::clear(const ExclusiveGuard&) {
  // A small cell of a notebook leaves nothing: its end must cost next to nothing.
  if (slots_ == nullptr || (count_ == 0 && capacity_ == first_capacity)) {
    return;
  }
  for (std::size_t slot = 0; slot < capacity_; ++slot) {
    if (slots_[slot].address != 0) {
      filter_of(slots_[slot].address).store(0, std::memory_order_relaxed);
    }
  }
  count_ = 0;
  if (capacity_ == first_capacity) {
    system::discard(slots_, capacity_ * sizeof(Sample));
    return;
  }
  // The first table is small; that there is memory for it is likely after a larger one went.
  system::unreserve(slots_, capacity_ * sizeof(Sample));
  slots_ = nullptr;
  capacity_ = 0;
}

}  // namespace fil::sampling
