// Whether a library can be preloaded, found out before it is: the dynamic linker ignores what it can't load with a line
// of its own.
#pragma once

#include <string>

namespace fil::addon {

/// Empty if the file is a shared object for this machine, else a sentence that says what it is.
std::string why_not_preloadable(const std::string& path);

}  // namespace fil::addon
