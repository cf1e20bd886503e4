// The call tree: from a frame of a Python thread to its call site, and the names behind it, written into the segment.
//
// A site is (caller's site, code, line). Each (caller's site, code, instruction) is remembered as an alias of its site.
// Finding the line of an instruction takes a walk through the code's line table, which is long in a long function, so
// that is remembered as well, for all callers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../shared/segment.hpp"
#include "exclusive.hpp"
#include "outgrown.hpp"
#include "triple_map.hpp"

namespace fil {

/// What the tree has to be told about a code object; the Python side implements it.
class CodeReader {
 public:
  /// Line of the instruction at `offset` bytes from the code's first; 0 if unknown.
  virtual std::int32_t line_at(const void* code, std::uint32_t offset) const = 0;
  virtual std::int32_t first_line(const void* code) const = 0;
  /// Writes at most `capacity` bytes of UTF-8; the number of bytes written, or `capacity` + 1 if the name does not fit.
  virtual std::size_t filename(const void* code, char* to, std::size_t capacity) const = 0;
  virtual std::size_t qualified_name(const void* code, char* to, std::size_t capacity) const = 0;

 protected:
  ~CodeReader() = default;
};

class CallTree {
 public:
  CallTree() = default;
  CallTree(segment::View view, const CodeReader& reader) : reader_(&reader) { move_to(view, false); }

  /// Goes on in another segment, with an empty tree that has the same boundaries; to be followed by reset().
  ///
  /// @param is_in_file whether its file system can be full, so that its memory is asked for in pieces.
  void move_to(segment::View view, bool is_in_file) {
    view_ = view;
    outgrown_ = nullptr;
    populated_sites_ = is_in_file ? 0 : view.most_sites();
    populated_codes_ = is_in_file ? 0 : view.most_codes();
    populated_strings_ = is_in_file ? 0 : view.most_string_bytes();
  }
  /// Memory for the tables of a forked child while they are small.
  struct alignas(64) Lent {
    std::byte known_codes[2048];
    std::byte aliases[2048];
    std::byte lines[2048];
    std::byte sites_by_line[2048];
  };
  /// In a forked child, which has nothing of its parent's tables: begins with these, zeroed. To be followed by reset().
  void start_over(Lent& memory);
  /// The segment is small: `outgrown` is called before it is full.
  void be_young(Outgrown outgrown) { outgrown_ = outgrown; }
  /// Copies what is known into a larger segment, an empty file, and goes on there. False if there is no memory for it.
  bool grow_up(segment::View view);
  bool prepare_built_in_sites() { return populated_sites_ != 0 || populate_sites(); }

  /// Reserves the tables; false if there is no address space for them.
  bool prepare();

  /// Starts a session with an empty tree.
  void reset(const ExclusiveGuard& guard);
  void forget_boundaries(const ExclusiveGuard&) { boundary_count_ = 0; }

  /// Call stacks end at frames of this code and don't show them; at most `boundary_capacity` codes.
  void add_boundary(const ExclusiveGuard& guard, const void* code);
  bool is_boundary(const void* code) const {
    for (std::size_t i = 0; i < boundary_count_; ++i) {
      if (boundaries_[i] == code) {
        return true;
      }
    }
    return false;
  }

  /// The site of `code` at the instruction `offset` bytes in, called from `caller`. The caller's own site if a table is
  /// full.
  SiteId site(const ExclusiveGuard& guard, SiteId caller, const void* code, std::uint32_t offset) {
    const CodeId id = code_id(guard, code);
    const SiteId known = aliases_.find(guard, Aliases::Key{caller, id, offset});
    return known != SiteId::root ? known : add_alias(guard, caller, id, code, offset);
  }

  /// The site of memory that the line of `caller` mapped: of a file, or shared. The caller's own site if a table is
  /// full. Shared memory of the same name is told apart by `identity`.
  SiteId mapping_site(const ExclusiveGuard& guard, SiteId caller, segment::CodeKind kind, const char* name,
                      std::int32_t identity);
  /// The same memory, mapped anew by another line; `caller` itself if `mapping` is neither of a file nor shared.
  SiteId moved_mapping_site(const ExclusiveGuard& guard, SiteId caller, SiteId mapping);

  /// Whether sites were added since the last call.
  bool take_news(const ExclusiveGuard&) {
    if (!has_news_) [[likely]] {
      return false;
    }
    has_news_ = false;
    return true;
  }

  /// The code object is about to die and its address may be used again. True if it was known.
  bool forget_code(const ExclusiveGuard& guard, const void* code);

  /// Marks the figures as not exact, for the report to say so.
  void degrade(segment::Degradation reason) {
    view_.header().degradations.fetch_or(static_cast<std::uint32_t>(reason), std::memory_order_relaxed);
  }

  /// Calls `visit(const void* address, std::size_t bytes)` for each part of the tables' own memory, the segment
  /// included.
  template <class Visit>
  void each_reservation(const ExclusiveGuard& guard, Visit visit) const {
    visit(view_.base, segment::bytes_at_scale(view_.scale));
    visit(known_codes_, known_capacity_ * sizeof(KnownCode));
    aliases_.each_reservation(guard, visit);
    lines_.each_reservation(guard, visit);
    sites_by_line_.each_reservation(guard, visit);
  }

  static constexpr std::size_t boundary_capacity = 16;
  /// From so many call sites on (a sixteenth of the capacity) recursion is folded: a call of a line that is among the
  /// callers already is charged to it there. Until then every stack is exact, also that of a recursion; a binary one of
  /// depth 18 alone would fill the table.
  std::uint32_t fold_after() const { return outgrown_ != nullptr ? view_.most_sites() : view_.most_sites() / 16; }
  /// Callers that are looked at for the same line. Longer cycles are not folded.
  static constexpr std::uint32_t longest_cycle = 64;

 private:
  /// By the instruction's offset in bytes; a line that allocates takes some 16.
  using Aliases = TripleMap<SiteId, 4>;
  /// The same, of no caller. The value is the line + 1, so that an unknown line is one.
  using Lines = TripleMap<std::uint32_t, 4>;
  using SitesByLine = TripleMap<SiteId, 0>;

  struct KnownCode {
    const void* code;
    CodeId id;
  };

  CodeId code_id(const ExclusiveGuard& guard, const void* code) {
    for (std::size_t slot = first_slot(code);; slot = next(slot)) {
      if (known_codes_[slot].code == code) {
        return known_codes_[slot].id;
      }
      if (known_codes_[slot].code == nullptr) {
        return add_code(guard, code, slot);
      }
    }
  }
  CodeId add_code(const ExclusiveGuard& guard, const void* code, std::size_t slot);
  template <class WriteFile, class WriteName>
  CodeId add_record(const ExclusiveGuard& guard, const void* key, std::size_t slot, segment::CodeKind kind,
                    std::int32_t first_line, WriteFile write_file, WriteName write_name);
  std::int32_t line_of(const ExclusiveGuard& guard, CodeId id, const void* code, std::uint32_t offset);
  SiteId site_of_line(const ExclusiveGuard& guard, SiteId caller, CodeId id, std::int32_t line);
  SiteId add_alias(const ExclusiveGuard& guard, SiteId caller, CodeId id, const void* code, std::uint32_t offset);
  SiteId add_site(const ExclusiveGuard& guard, SiteId caller, CodeId id, std::int32_t line);

  std::size_t first_slot(const void* code) const {
    return static_cast<std::size_t>((reinterpret_cast<std::uintptr_t>(code) >> 4) * 0x9e37'79b9'7f4a'7c15U >> 40) &
           (known_capacity_ - 1);
  }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (known_capacity_ - 1); }
  bool populate_sites();
  bool populate_codes();
  std::size_t populated_string_bytes(std::uint32_t offset);
  bool make_room_for_code(const void* key, std::size_t& slot);
  SiteId outer_call(SiteId caller, CodeId id, std::int32_t line) const;

  static_assert(Aliases::lent_bytes() == sizeof(Lent::aliases) && Lines::lent_bytes() == sizeof(Lent::lines) &&
                SitesByLine::lent_bytes() == sizeof(Lent::sites_by_line));
  static constexpr std::size_t lent_known_capacity = 128;
  static_assert(lent_known_capacity * sizeof(KnownCode) == sizeof(Lent::known_codes));

  /// 16 KiB.
  static constexpr std::size_t first_known_capacity = 1024;
  /// Twice the codes of a session, so that probes stay short.
  static constexpr std::size_t most_known_capacity = std::size_t{segment::code_capacity} * 2;
  /// A line has a handful of instructions that allocate.
  static constexpr std::size_t alias_capacity = std::size_t{segment::site_capacity} * 4;

  segment::View view_{};
  /// Null unless the process is young.
  Outgrown outgrown_ = nullptr;
  const CodeReader* reader_ = nullptr;
  KnownCode* known_codes_ = nullptr;
  std::size_t known_capacity_ = 0;
  std::size_t known_count_ = 0;
  bool are_known_codes_lent_ = false;
  Aliases aliases_{alias_capacity};
  Lines lines_{alias_capacity};
  SitesByLine sites_by_line_{std::size_t{segment::site_capacity} * 2};
  const void* boundaries_[boundary_capacity] = {};
  std::size_t boundary_count_ = 0;
  bool has_news_ = false;
  /// Rows of the segment's tables that are sure to have memory.
  static constexpr std::uint32_t populated_at_once = 256;
  /// Of a process that has few, each of these is a page.
  static constexpr std::uint32_t populated_first = 64;
  static constexpr std::uint32_t next_piece(std::uint32_t populated) {
    return populated == 0 ? populated_first : populated_at_once;
  }
  static constexpr std::uint32_t longest_name = 8192;
  std::uint32_t populated_sites_ = 0;
  std::uint32_t populated_codes_ = 0;
  std::uint32_t populated_strings_ = 0;
};

}  // namespace fil
