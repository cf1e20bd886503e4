// A canary proves that a frame is the one that was seen before, and with it all frames that called it: they can't have
// returned. It lives in the frame's `f_locals`, which is null until somebody asks for a function's locals(), and null
// again in a new frame at the same address. Without it every allocation under a deep recursion compares the whole
// stack.
//
// What the program can see: nothing. Until 3.12 locals() fills the dict that it finds there, as if it had been called
// before; since 3.13 the field is not used for functions.
#pragma once

#include <cstdint>

#include "interpreter.hpp"

namespace fil::python {

struct Canary {
  const std::byte* object;
  /// Versions of dicts are never used twice (PEP 509), so a dict freed and made again is another. 0 for None.
  std::uint64_t version;
};

/// Plants a canary into the calling thread's frame, or adopts what stands there. `object` is null if the frame can't
/// have one. With the GIL held, nested, as it may allocate.
Canary plant_canary(const Interpreter& python, const std::byte* frame);

// PyObject.ob_type, and PyDictObject.ma_version_tag of 3.11 and 3.12.
inline constexpr std::size_t type_offset = 8;
inline constexpr std::size_t version_offset = 24;

inline std::uint64_t version_of(const std::byte* dict) {
  return *reinterpret_cast<const std::uint64_t*>(dict + version_offset);
}

/// Whether the frame still has it. Inline, as deep stacks ask at every event.
inline bool canary_lives(const Interpreter& python, const std::byte* frame, const Canary& canary) {
  const std::byte* locals = *python.locals_field(frame);
  return locals == canary.object && (canary.version == 0 || version_of(locals) == canary.version);
}

}  // namespace fil::python
