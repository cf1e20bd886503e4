// Whether this Python's frames are where the layout says: the test of filprofiler/_tracker.py for programs that never
// import it.
#pragma once

#include <cstddef>

namespace fil::python {

/// Runs a little Python code of frames of several kinds, reads its call stack and compares with what Python itself
/// reports. With the GIL held, where Python code may run. False if anything differs.
bool frames_are_where_they_should_be();

/// A quick look without running Python code, for programs that were executed by a tracked one: whether the frames of a
/// thread lead to code objects with names.
enum class Look { right, wrong, nothing_to_see };
class Interpreter;
Look look_at_frames(const Interpreter& python, const std::byte* thread);

}  // namespace fil::python
