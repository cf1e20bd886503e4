// What a call of mmap, shmat or sbrk has mapped: memory, a file or shared memory, and how much of it is to count.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "../shared/segment.hpp"
#include "range_map.hpp"

namespace fil {

/// Private memory of this size and more counts by its pages in memory: no program fills so much at once, and libraries
/// take as much in advance and never use it (OpenBLAS 64 MiB in each process).
inline constexpr std::size_t least_reservation_bytes = std::size_t{16} << 20;

/// A new mapping. `name` is empty unless `kind` is a file, or shared memory that has a name.
struct Mapping {
  static constexpr std::size_t name_capacity = 512;

  segment::CodeKind kind = segment::CodeKind::python;
  Counting counting = Counting::whole;
  /// Which shared memory it is, and from which byte on it is mapped.
  SharedObject object = 0;
  std::uint64_t offset = 0;
  char name[name_capacity] = {};
};

/// A call of mmap that succeeded.
struct MapCall {
  std::size_t length;
  int protection;
  int flags;
  int descriptor;
  off_t offset;
};

/// False if what was mapped is no memory of the program: a device, say.
bool describe(const MapCall& call, Mapping& to);

/// The System V segment `identifier`: its bytes and name. False if the system doesn't tell.
bool describe_shared_segment(int identifier, Mapping& to, std::size_t& bytes);

}  // namespace fil
