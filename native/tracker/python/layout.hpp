// Where each supported CPython keeps what a stack walk needs. Data only.
//
// From the headers of each version (Include/internal/pycore_frame.h, Include/cpython/pystate.h,
// Include/cpython/code.h), x86-64 and aarch64 alike. Never trusted blindly: filprofiler._tracker.check() walks known
// frames by them before the first session.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fil::python {

enum class CanaryKind : std::uint8_t {
  /// An empty dict, as locals() would put there, told from others by its version.
  versioned_dict,
  /// None, which is immortal; since 3.13 nothing reads this field of a function's frame.
  none_object,
};

struct Layout {
  /// CPython 3.`minor`.
  int minor;

  // PyThreadState
  std::size_t interpreter;
  /// Offset of the current frame, or of the C frame that leads to it.
  std::size_t current_frame;
  /// Offset in the C frame; `no_c_frame` where the thread state has the frame itself.
  std::size_t c_frame_current;

  // _PyInterpreterFrame
  std::size_t code;
  std::size_t previous;
  std::size_t instruction;
  std::size_t owner;
  std::size_t locals;

  // PyCodeObject
  std::size_t filename;
  std::size_t qualified_name;
  std::size_t flags;
  std::size_t first_line;
  std::size_t instructions;

  /// What can stand in for a function's locals, see canary.hpp.
  CanaryKind canary;
};

inline constexpr std::size_t no_c_frame = ~std::size_t{0};
/// _PyInterpreterFrame.owner: threads 0, generators 1, frame objects 2; from here on C code, whose frames (3.12 and
/// later) stand for no Python code.
inline constexpr std::uint8_t first_owner_in_c = 3;
/// Tags of a stack reference, which a frame's code is since 3.14; no bits of an address before.
inline constexpr std::uintptr_t reference_tags = 3;

/// A version that differs from another only here.
constexpr Layout moved(Layout layout, int minor, std::size_t owner, std::size_t instructions) {
  layout.minor = minor;
  layout.owner = owner;
  layout.instructions = instructions;
  return layout;
}

inline constexpr Layout layout_3_11 = {
    .minor = 11,
    .interpreter = 16,
    .current_frame = 56,
    .c_frame_current = 8,
    .code = 32,
    .previous = 48,
    .instruction = 56,
    .owner = 69,
    .locals = 24,
    .filename = 112,
    .qualified_name = 128,
    .flags = 48,
    .first_line = 72,
    .instructions = 184,
    .canary = CanaryKind::versioned_dict,
};

inline constexpr Layout layout_3_12 = {
    .minor = 12,
    .interpreter = 16,
    .current_frame = 56,
    .c_frame_current = 0,
    .code = 0,
    .previous = 8,
    .instruction = 56,
    .owner = 70,
    .locals = 40,
    .filename = 112,
    .qualified_name = 128,
    .flags = 48,
    .first_line = 68,
    .instructions = 192,
    .canary = CanaryKind::versioned_dict,
};

inline constexpr Layout layout_3_13 = {
    .minor = 13,
    .interpreter = 16,
    .current_frame = 72,
    .c_frame_current = no_c_frame,
    .code = 0,
    .previous = 8,
    .instruction = 56,
    .owner = 70,
    .locals = 40,
    .filename = 112,
    .qualified_name = 128,
    .flags = 48,
    .first_line = 68,
    .instructions = 200,
    .canary = CanaryKind::none_object,
};

inline constexpr Layout layouts[] = {
    layout_3_11, layout_3_12, layout_3_13, moved(layout_3_13, 14, 74, 208), moved(layout_3_13, 15, 74, 208),
};

}  // namespace fil::python
