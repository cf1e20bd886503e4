// How much memory the recorder's processes can take before the kernel kills something: by the rules of
// addon/memory/available.hpp, without the C++ library, which the recorder can't use in a process that is another's. A
// test holds the two against each other on all recorded machines.
#pragma once

#include <cstdint>

namespace fil::production {

/// Bytes that the host and all control groups of a process have left; INT64_MAX if nothing could be read.
/// @param root prefix of all paths, for recorded machines; empty for this one. @param pid 0 for the caller's.
std::int64_t memory_left(const char* root, int pid);

}  // namespace fil::production
