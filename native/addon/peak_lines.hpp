// What lines held at the peak, summed up in the segment itself: for a view of a program that goes on running, where a
// copy of every site, twice a second, would cost more than the answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "segment_reader.hpp"

namespace fil::addon {

/// Columns of one length, most bytes first.
struct PeakLines {
  std::vector<std::uint32_t> code;
  std::vector<std::int32_t> line;
  std::vector<double> bytes;
};

/// Charges every site's bytes at the peak to the innermost line of own code on its stack, or to its own line where
/// there is none, and returns the lines with most. One pass; sums can be off by what happens meanwhile.
///
/// @param is_own for each code 1 if it is the user's own; codes beyond its end are not.
/// Throws std::runtime_error if the segment is damaged.
PeakLines peak_lines(const SegmentReader& reader, std::span<const std::uint8_t> is_own, std::size_t most);

}  // namespace fil::addon
