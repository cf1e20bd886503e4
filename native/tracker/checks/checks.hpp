// What only the checked build has (cmake -DFIL_CHECKED=ON): invariants, failpoints and coverage marks. In the release
// build each of them is nothing: no code, no data, no name.
#pragma once

#include <cstdint>

namespace fil {

#ifdef FIL_CHECKED
inline constexpr bool is_checked_build = true;
#else
inline constexpr bool is_checked_build = false;
#endif

/// A step that can fail for reasons outside of us. `failpoints.def` names each and says what the program loses by it.
enum class Failpoint : std::uint8_t {
#define FIL_FAILPOINT(name) name,
#include "failpoints.def"
#undef FIL_FAILPOINT
};

/// A branch that a test is about.
enum class Mark : std::uint8_t {
#define FIL_MARK(name) name,
#include "marks.def"
#undef FIL_MARK
};

// Defined in the checked build only.
namespace checks {
bool fails(Failpoint point);
unsigned value_of(Failpoint point);
void pass(Mark mark);
unsigned passes(Mark mark);
[[noreturn]] void violated(const char* sentence);
/// For tests in C++: the failpoint fails from here on, or no more.
void arm(Failpoint point, bool on);
}  // namespace checks

/// Whether the step is to fail now, as FIL_FAILPOINTS asks: "name" for always, "name=3" from the third time on,
/// "name:7" for always with a value for the failpoint to make use of; several by commas.
inline bool fails(Failpoint point) {
  if constexpr (is_checked_build) {
    return checks::fails(point);
  } else {
    return false;
  }
}

/// Notes that this branch was taken. The first time of each mark appends a line to the file that FIL_MARKS_FILE names.
inline void pass(Mark mark) {
  if constexpr (is_checked_build) {
    checks::pass(mark);
  }
}

/// Ends the process with `sentence`, which says what must hold, unless `holds()`. For what would make figures wrong:
/// the release build would go on with them.
template <class Condition>
inline void invariant(const Condition& holds, const char* sentence) {
  if constexpr (is_checked_build) {
    if (!holds()) {
      checks::violated(sentence);
    }
  }
}

}  // namespace fil
