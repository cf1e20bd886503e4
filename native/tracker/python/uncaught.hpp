// Whether the program ends because nobody caught a MemoryError.
#pragma once

namespace fil::python {

/// Arranges that `found` is called at Python's end, before its modules are cleared, if an exception that ended the
/// program was a MemoryError or had one as its cause or context. With the GIL held, before the program begins. Where
/// this Python can't tell, it is never called.
void watch_uncaught_memory_error(void (*found)());

}  // namespace fil::python
