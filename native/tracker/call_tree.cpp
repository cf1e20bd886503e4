#include "call_tree.hpp"

#include <string.h>

#include "checks/checks.hpp"
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
    known_codes_ = static_cast<KnownCode*>(system::reserve_for_this_process(first_known_capacity * sizeof(KnownCode)));
    known_capacity_ = first_known_capacity;
  }
  return known_codes_ != nullptr && aliases_.prepare() && lines_.prepare() && sites_by_line_.prepare();
}

bool CallTree::grow_up(segment::View view) {
  const segment::View young = view_;
  const Outgrown outgrown = outgrown_;
  move_to(view, true);
  const segment::Header& header = young.header();
  const std::uint32_t sites = header.site_count.load(std::memory_order_relaxed);
  const std::uint32_t codes = header.code_count.load(std::memory_order_relaxed);
  const std::uint32_t string_bytes = header.string_bytes.load(std::memory_order_relaxed);
  bool has_room = true;
  while (has_room && populated_sites_ < sites) {
    has_room = populate_sites();
  }
  while (has_room && populated_codes_ < codes) {
    has_room = populate_codes();
  }
  while (has_room && populated_strings_ < string_bytes) {
    const std::uint32_t before = populated_strings_;
    has_room = populated_string_bytes(before) > before;
  }
  if (!has_room) {
    move_to(young, false);
    outgrown_ = outgrown;
    return false;
  }
  memcpy(static_cast<void*>(view.counts()), young.counts(), sites * sizeof(segment::SiteCounts));
  memcpy(view.frames(), young.frames(), sites * sizeof(segment::SiteFrame));
  memcpy(view.codes(), young.codes(), codes * sizeof(segment::CodeRecord));
  memcpy(view.strings(), young.strings(), string_bytes);
  return true;
}

void CallTree::start_over(Lent& memory) {
  if (!are_known_codes_lent_ && (known_capacity_ > first_known_capacity || !system::children_have_nothing())) {
    system::unreserve(known_codes_, known_capacity_ * sizeof(KnownCode));
  }
  known_codes_ = reinterpret_cast<KnownCode*>(memory.known_codes);
  known_capacity_ = lent_known_capacity;
  known_count_ = 0;
  are_known_codes_lent_ = true;
  aliases_.start_over(memory.aliases);
  lines_.start_over(memory.lines);
  sites_by_line_.start_over(memory.sites_by_line);
}

void CallTree::reset(const ExclusiveGuard& guard) {
  segment::Header& header = view_.header();
  zero(view_.counts(), header.site_count.load(std::memory_order_relaxed) * sizeof(segment::SiteCounts));
  if (known_count_ != 0) {
    if (are_known_codes_lent_) {
      memset(static_cast<void*>(known_codes_), 0, known_capacity_ * sizeof(KnownCode));
    } else {
      system::discard(known_codes_, known_capacity_ * sizeof(KnownCode));
    }
    known_count_ = 0;
  }
  aliases_.clear(guard);
  lines_.clear(guard);
  sites_by_line_.clear(guard);

  header.degradations.store(0, std::memory_order_relaxed);
  header.code_count.store(0, std::memory_order_relaxed);
  header.string_bytes.store(0, std::memory_order_relaxed);
  header.current_bytes.store(0, std::memory_order_relaxed);
  header.peak_bytes.store(0, std::memory_order_relaxed);
  header.most_untouched_bytes.store(0, std::memory_order_relaxed);
  // Above the 0 of a fresh site, so that its first event saves the 0 that it held at the "peak" of nothing.
  header.generation.store(1, std::memory_order_relaxed);
  header.peak_generation.store(1, std::memory_order_relaxed);
  header.failure_generation.store(0, std::memory_order_relaxed);
  header.joint_generation.store(0, std::memory_order_relaxed);
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

CodeId CallTree::add_code(const ExclusiveGuard& guard, const void* code, std::size_t slot) {
  return add_record(
      guard, code, slot, segment::CodeKind::python, reader_->first_line(code),
      [&](char* to, std::size_t room) { return reader_->filename(code, to, room); },
      [&](char* to, std::size_t room) { return reader_->qualified_name(code, to, room); });
}

template <class WriteFile, class WriteName>
CodeId CallTree::add_record(const ExclusiveGuard& guard, const void* key, std::size_t slot, segment::CodeKind kind,
                            std::int32_t first_line, WriteFile write_file, WriteName write_name) {
  const segment::Header& before = view_.header();
  if (outgrown_ != nullptr &&
      (before.code_count.load(std::memory_order_relaxed) == view_.most_codes() ||
       before.string_bytes.load(std::memory_order_relaxed) + 2 * longest_name > view_.most_string_bytes())) {
    outgrown_(guard);
  }
  segment::Header& header = view_.header();
  const std::uint32_t id = header.code_count.load(std::memory_order_relaxed);
  if (id >= populated_codes_ && !populate_codes()) {
    return CodeId::none;
  }
  std::uint32_t offset = header.string_bytes.load(std::memory_order_relaxed);
  if (id == view_.most_codes() || fails(Failpoint::codes_full) || !make_room_for_code(key, slot)) {
    return CodeId::none;
  }
  const auto append = [&](auto write, std::uint32_t& start, std::uint32_t& bytes) {
    const std::size_t room = populated_string_bytes(offset) - offset;
    const std::size_t written = write(view_.strings() + offset, room);
    if (written > room || fails(Failpoint::names_full)) {
      return false;
    }
    start = offset;
    bytes = static_cast<std::uint32_t>(written);
    offset += bytes;
    return true;
  };
  segment::CodeRecord& record = view_.codes()[id];
  if (!append(write_file, record.filename_offset, record.filename_bytes) ||
      !append(write_name, record.name_offset, record.name_bytes)) {
    return CodeId::none;
  }
  record.first_line = first_line;
  record.kind = kind;
  header.string_bytes.store(offset, std::memory_order_release);
  header.code_count.store(id + 1, std::memory_order_release);  // pairs with the addon's snapshot
  known_codes_[slot] = KnownCode{key, CodeId{id}};
  ++known_count_;
  return CodeId{id};
}

SiteId CallTree::add_alias(const ExclusiveGuard& guard, SiteId caller, CodeId id, const void* code,
                           std::uint32_t offset) {
  const std::int32_t line = id == CodeId::none ? 0 : line_of(guard, id, code, offset);
  const SiteId site = site_of_line(guard, caller, id, line);
  if (id != CodeId::none && !fails(Failpoint::aliases_full)) {
    // A full alias table only costs time.
    aliases_.insert(guard, Aliases::Key{caller, id, offset}, site);
  }
  return site;
}

std::int32_t CallTree::line_of(const ExclusiveGuard& guard, CodeId id, const void* code, std::uint32_t offset) {
  const Lines::Key key{SiteId::root, id, offset};
  if (const std::uint32_t known = lines_.find(guard, key); known != 0) {
    return static_cast<std::int32_t>(known - 1);
  }
  const std::int32_t line = reader_->line_at(code, offset);
  // A full table only costs time.
  lines_.insert(guard, key, static_cast<std::uint32_t>(line) + 1);
  return line;
}

SiteId CallTree::site_of_line(const ExclusiveGuard& guard, SiteId caller, CodeId id, std::int32_t line) {
  const SitesByLine::Key by_line{caller, id, static_cast<std::uint32_t>(line)};
  SiteId site = id == CodeId::none ? SiteId::root : sites_by_line_.find(guard, by_line);
  if (site != SiteId::root) {
    return site;
  }
  if (id != CodeId::none && view_.header().site_count.load(std::memory_order_relaxed) >= fold_after()) {
    site = outer_call(caller, id, line);
  }
  if (site != SiteId::root) {
    degrade(segment::Degradation::recursion_folded);
    // A full table only costs time.
    sites_by_line_.insert(guard, by_line, site);
    return site;
  }
  site = id == CodeId::none ? SiteId::root : add_site(guard, caller, id, line);
  if (site == SiteId::root || fails(Failpoint::sites_by_line_full) || !sites_by_line_.insert(guard, by_line, site)) {
    degrade(segment::Degradation::call_sites_full);
    return caller == SiteId::root ? SiteId::no_python_stack : caller;
  }
  return site;
}

/// The nearest caller that stands on the same line; the root if there is none.
SiteId CallTree::outer_call(SiteId caller, CodeId id, std::int32_t line) const {
  const segment::SiteFrame* frames = view_.frames();
  std::uint32_t at = index_of(caller);
  for (std::uint32_t steps = 0; steps < longest_cycle && at >= index_of(SiteId::first_free); ++steps) {
    const segment::SiteFrame& frame = frames[at];
    if (frame.code == index_of(id) && frame.line == line) {
      return SiteId{at};
    }
    at = frame.parent;
  }
  return SiteId::root;
}

/// Doubles the table if it is about to fill up; then `slot` is the key's in the new one. False if it is full.
bool CallTree::make_room_for_code(const void* key, std::size_t& slot) {
  if (known_count_ < known_capacity_ / 4 * 3) {
    return true;
  }
  auto* larger =
      known_capacity_ < most_known_capacity
          ? static_cast<KnownCode*>(system::reserve_for_this_process(2 * known_capacity_ * sizeof(KnownCode)))
          : nullptr;
  if (larger == nullptr) {
    return false;
  }
  KnownCode* before = known_codes_;
  const std::size_t slots = known_capacity_;
  known_codes_ = larger;
  known_capacity_ = 2 * slots;
  const auto free_slot = [&](const void* code) {
    std::size_t free = first_slot(code);
    while (known_codes_[free].code != nullptr) {
      free = next(free);
    }
    return free;
  };
  for (std::size_t i = 0; i < slots; ++i) {
    if (before[i].code != nullptr) {
      known_codes_[free_slot(before[i].code)] = before[i];
    }
  }
  if (!are_known_codes_lent_) {
    system::unreserve(before, slots * sizeof(KnownCode));
  }
  are_known_codes_lent_ = false;
  slot = free_slot(key);
  return true;
}

SiteId CallTree::mapping_site(const ExclusiveGuard& guard, SiteId caller, segment::CodeKind kind, const char* name,
                              std::int32_t identity) {
  // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) of all three; odd, as no address of a code object is.
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325U ^ static_cast<std::uint64_t>(kind);
  hash = (hash ^ static_cast<std::uint32_t>(identity)) * 0x100'0000'01b3U;
  for (const char* at = name; *at != '\0'; ++at) {
    hash = (hash ^ static_cast<unsigned char>(*at)) * 0x100'0000'01b3U;
  }
  const auto* key = reinterpret_cast<const void*>(static_cast<std::uintptr_t>(hash | 1U));
  std::size_t slot = first_slot(key);
  while (known_codes_[slot].code != key && known_codes_[slot].code != nullptr) {
    slot = next(slot);
  }
  CodeId id = known_codes_[slot].id;
  if (known_codes_[slot].code == nullptr) {
    const std::size_t bytes = strlen(name);
    const auto write_file = [&](char* to, std::size_t room) {
      if (bytes > room) {
        return room + 1;
      }
      memcpy(to, name, bytes);
      return bytes;
    };
    id = add_record(guard, key, slot, kind, identity, write_file, [](char*, std::size_t) { return std::size_t{0}; });
  }
  return site_of_line(guard, caller, id, 0);
}

SiteId CallTree::moved_mapping_site(const ExclusiveGuard& guard, SiteId caller, SiteId mapping) {
  const auto id = CodeId{view_.frames()[index_of(mapping)].code};
  if (id == CodeId::none || view_.codes()[index_of(id)].kind == segment::CodeKind::python) {
    return caller;
  }
  return site_of_line(guard, caller, id, 0);
}

SiteId CallTree::add_site(const ExclusiveGuard& guard, SiteId caller, CodeId id, std::int32_t line) {
  if (outgrown_ != nullptr && view_.header().site_count.load(std::memory_order_relaxed) == view_.most_sites()) {
    outgrown_(guard);
  }
  segment::Header& header = view_.header();
  const std::uint32_t index = header.site_count.load(std::memory_order_relaxed);
  if (index == view_.most_sites() || fails(Failpoint::sites_full) || (index >= populated_sites_ && !populate_sites())) {
    return SiteId::root;
  }
  invariant([&] { return index_of(caller) < index; }, "a call site's caller was there before it");
  view_.frames()[index] = segment::SiteFrame{index_of(caller), index_of(id), line, 0};
  header.site_count.store(index + 1, std::memory_order_release);  // pairs with the addon's snapshot
  has_news_ = true;
  return SiteId{index};
}

bool CallTree::populate_sites() {
  const std::uint32_t more = next_piece(populated_sites_);
  if (!system::populate(view_.counts() + populated_sites_, more * sizeof(segment::SiteCounts)) ||
      !system::populate(view_.frames() + populated_sites_, more * sizeof(segment::SiteFrame))) {
    return false;
  }
  populated_sites_ += more;
  return true;
}

bool CallTree::populate_codes() {
  const std::uint32_t more = next_piece(populated_codes_);
  if (!system::populate(view_.codes() + populated_codes_, more * sizeof(segment::CodeRecord))) {
    return false;
  }
  populated_codes_ += more;
  return true;
}

/// Up to where names may be written. A name has to fit into what is there.
std::size_t CallTree::populated_string_bytes(std::uint32_t offset) {
  while (populated_strings_ < view_.most_string_bytes() && populated_strings_ - offset < longest_name) {
    if (!system::populate(view_.strings() + populated_strings_, longest_name)) {
      return populated_strings_;
    }
    populated_strings_ += longest_name;
  }
  return populated_strings_;
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
