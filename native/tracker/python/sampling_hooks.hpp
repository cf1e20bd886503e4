// Between Python's allocator and the sampler.
#pragma once

#include "interpreter.hpp"

namespace fil::python {

/// With the GIL held, in a sampled session. False if Python's allocator is not its usual one, so that small objects
/// can't be sampled: those that reach malloc() still are.
bool install_sampling_hooks(const Interpreter& python);

/// With the GIL held, before the session is over. False if others have put us out of the chain meanwhile.
bool remove_sampling_hooks(const Interpreter& python);

}  // namespace fil::python
