// Whether a library can be preloaded, found out before it is: the dynamic linker ignores what it can't load with a line
// of its own.
#pragma once

#include <string>

namespace fil::addon {

/// Empty if the file is a shared object for this machine, else a sentence that says what it is.
std::string why_not_preloadable(const std::string& path);

/// Empty if a library can be preloaded into the program, else a sentence that says why not: it is linked statically, or
/// for another machine. Scripts pass, as what they start is not known.
std::string why_not_preloaded_into(const std::string& program);

}  // namespace fil::addon
