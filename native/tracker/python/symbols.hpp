// What we use of CPython's interface without its headers: one binary serves all versions, and finds functions and
// objects in the process by name.
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

/// PyMethodDef, part of the stable ABI.
struct MethodDefinition {
  const char* name;
  void* (*function)(void* self, void* arguments);
  int flags;
  const char* documentation;
};
inline constexpr int no_arguments = 4;  // METH_NOARGS

}  // namespace fil::python
