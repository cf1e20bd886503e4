// Whether this Python's frames are where the layout says: the test of filprofiler/_tracker.py for programs that never
// import it.
#pragma once

namespace fil::python {

/// Runs a little Python code of frames of several kinds, reads its call stack and compares with what Python itself
/// reports. With the GIL held, where Python code may run. False if anything differs.
bool frames_are_where_they_should_be();

}  // namespace fil::python
