// Word of dying code objects: their addresses are soon those of others.
#pragma once

namespace fil::python {

class Interpreter;

/// From now on `died(code)` is called, with the GIL held, whenever a code object dies. Once per process. False if it
/// can't be had.
bool watch_code(const Interpreter& python, void (*died)(const void* code));

}  // namespace fil::python
