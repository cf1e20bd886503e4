// Ids of the segment's tables, as types of their own: a site can't be passed where a code is meant.
#pragma once

#include <cstdint>

namespace fil {

/// A call site: one line of one function under one chain of callers. An index into the segment's site tables.
enum class SiteId : std::uint32_t {
  /// Where all call stacks start. Holds no bytes of its own.
  root = 0,
  /// Memory whose allocating thread had no Python frame and no known creator.
  no_python_stack = 1,
  first_free = 2,
};

/// A code object that was seen. An index into the segment's code table; never reused within a session.
enum class CodeId : std::uint32_t {
  none = 0xffff'ffff,
};

constexpr std::uint32_t index_of(SiteId id) {
  return static_cast<std::uint32_t>(id);
}
constexpr std::uint32_t index_of(CodeId id) {
  return static_cast<std::uint32_t>(id);
}

}  // namespace fil
