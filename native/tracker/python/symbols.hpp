// CPython's functions and objects, found in the process by name: one binary serves all versions.
#pragma once

#include <dlfcn.h>

namespace fil::python {

/// Looks a symbol up.
///
/// @param to set to it; null if the process has none of that name.
/// @return whether there is one.
template <class Pointer>
bool find_symbol(const char* name, Pointer& to) {
  to = reinterpret_cast<Pointer>(dlsym(RTLD_DEFAULT, name));
  return to != nullptr;
}

}  // namespace fil::python
