// Python's own allocator, counted while tracking is on. It stays pymalloc: forcing PYTHONMALLOC=malloc instead would
// slow every program down by a tenth to a half, tracked or not.
#pragma once

namespace fil::python {

class Interpreter;

/// Puts our functions before those of the mem and object domains. With the GIL held.
void install_allocator_hooks(const Interpreter& python);

/// Takes them out again where they are still first. False if something else replaced the allocator meanwhile. With the
/// GIL held.
bool remove_allocator_hooks(const Interpreter& python);

}  // namespace fil::python
