#include "call_tree.hpp"

#include <string.h>

#include "system.hpp"

namespace fil {
namespace {

/// Zeroing this much by hand is cheaper than a system call and the page faults that follow.
constexpr std::size_t worth_a_hole = std::size_t{256} << 10;

void zero(void* address, std::size_t bytes) {
  const std::size_t whole_pages = bytes & ~std::size_t{4095};
  if (bytes > worth_a_hole && system::punch_hole(address, whole_pages)) {
    memset(static_cast<char*>(address) + whole_pages, 0, bytes - whole_pages);
  } else {
    memset(address, 0, bytes);
  }
}

}  // namespace

bool CallTree::prepare() {
  if (known_codes_ == nullptr) {
    known_codes_ = static_cast<KnownCode*>(system::reserve(known_capacity * sizeof(KnownCode)));
  }
  return known_codes_ != nullptr && aliases_.prepare() && sites_by_line_.prepare();
}

void CallTree::reset(const ExclusiveGuard& guard) {
  segment::Header& header = view_.header();
  zero(view_.counts(), header.site_count.load(std::memory_order_relaxed) * sizeof(segment::SiteCounts));
  if (known_count_ != 0) {
    system::discard(known_codes_, known_capacity * sizeof(KnownCode));
    known_count_ = 0;
  }
  aliases_.clear(guard);
  sites_by_line_.clear(guard);
  boundary_count_ = 0;

  header.degradations.store(0, std::memory_order_relaxed);
  header.code_count.store(0, std::memory_order_relaxed);
  header.string_bytes.store(0, std::memory_order_relaxed);
  header.current_bytes.store(0, std::memory_order_relaxed);
  header.peak_bytes.store(0, std::memory_order_relaxed);
  // Above the 0 of a fresh site, so that its first event saves the 0 that it held at the "peak" of nothing.
  header.generation.store(1, std::memory_order_relaxed);
  for (const SiteId built_in : {SiteId::root, SiteId::no_python_stack}) {
    view_.frames()[index_of(built_in)] = segment::SiteFrame{index_of(SiteId::root), index_of(CodeId::none), 0, 0};
  }
  header.site_count.store(index_of(SiteId::first_free), std::memory_order_release);  // pairs with the addon's snapshot
}

void CallTree::add_boundary(const ExclusiveGuard&, const void* code) {
  if (boundary_count_ < boundary_capacity) {
    boundaries_[boundary_count_++] = code;
  }
}

CodeId CallTree::add_code(const ExclusiveGuard&, const void* code, std::size_t slot) {
  segment::Header& header = view_.header();
  const std::uint32_t id = header.code_count.load(std::memory_order_relaxed);
  std::uint32_t offset = header.string_bytes.load(std::memory_order_relaxed);
  if (id == segment::code_capacity || known_count_ >= known_capacity / 4 * 3) {
    return CodeId::none;
  }
  const auto append = [&](auto read, std::uint32_t& start, std::uint32_t& bytes) {
    const std::size_t room = segment::string_capacity - offset;
    const std::size_t written = read(view_.strings() + offset, room);
    if (written > room) {
      return false;
    }
    start = offset;
    bytes = static_cast<std::uint32_t>(written);
    offset += bytes;
    return true;
  };
  segment::CodeRecord& record = view_.codes()[id];
  const bool complete = append([&](char* to, std::size_t room) { return reader_->filename(code, to, room); },
                               record.filename_offset, record.filename_bytes) &&
                        append([&](char* to, std::size_t room) { return reader_->qualified_name(code, to, room); },
                               record.name_offset, record.name_bytes);
  if (!complete) {
    return CodeId::none;
  }
  record.first_line = reader_->first_line(code);
  header.string_bytes.store(offset, std::memory_order_release);
  header.code_count.store(id + 1, std::memory_order_release);  // pairs with the addon's snapshot
  known_codes_[slot] = KnownCode{code, CodeId{id}};
  ++known_count_;
  return CodeId{id};
}

SiteId CallTree::add_alias(const ExclusiveGuard& guard, SiteId caller, CodeId id, const void* code,
                           std::uint32_t offset) {
  if (id == CodeId::none) {
    degrade(segment::Degradation::call_sites_full);
    return caller == SiteId::root ? SiteId::no_python_stack : caller;
  }
  const std::int32_t line = reader_->line_at(code, offset);
  const TripleMap::Key by_line{caller, id, static_cast<std::uint32_t>(line)};
  SiteId site = sites_by_line_.find(guard, by_line);
  if (site == SiteId::root) {
    site = add_site(guard, caller, id, line);
    if (site == SiteId::root || !sites_by_line_.insert(guard, by_line, site)) {
      degrade(segment::Degradation::call_sites_full);
      site = caller == SiteId::root ? SiteId::no_python_stack : caller;
    }
  }
  // A full alias table only costs time.
  aliases_.insert(guard, TripleMap::Key{caller, id, offset}, site);
  return site;
}

SiteId CallTree::add_site(const ExclusiveGuard&, SiteId caller, CodeId id, std::int32_t line) {
  segment::Header& header = view_.header();
  const std::uint32_t index = header.site_count.load(std::memory_order_relaxed);
  if (index == segment::site_capacity) {
    return SiteId::root;
  }
  view_.frames()[index] = segment::SiteFrame{index_of(caller), index_of(id), line, 0};
  header.site_count.store(index + 1, std::memory_order_release);  // pairs with the addon's snapshot
  return SiteId{index};
}

bool CallTree::forget_code(const ExclusiveGuard&, const void* code) {
  if (known_codes_ == nullptr || known_count_ == 0) {
    return false;
  }
  std::size_t hole = first_slot(code);
  while (known_codes_[hole].code != code) {
    if (known_codes_[hole].code == nullptr) {
      return false;
    }
    hole = next(hole);
  }
  // Backward-shift deletion (Knuth 6.4, algorithm R): no tombstones, so lookups never grow longer.
  for (std::size_t slot = next(hole); known_codes_[slot].code != nullptr; slot = next(slot)) {
    const std::size_t home = first_slot(known_codes_[slot].code);
    const bool stays = hole < slot ? (home > hole && home <= slot) : (home > hole || home <= slot);
    if (!stays) {
      known_codes_[hole] = known_codes_[slot];
      hole = slot;
    }
  }
  known_codes_[hole] = KnownCode{nullptr, CodeId::none};
  --known_count_;
  return true;
}

}  // namespace fil
