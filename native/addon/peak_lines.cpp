#include "peak_lines.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace fil::addon {
namespace {

/// Code and line of a site as one key; a line is 32 bits wide.
std::uint64_t key_of(const segment::SiteFrame& frame) {
  return (std::uint64_t{frame.code} << 32) | static_cast<std::uint32_t>(frame.line);
}

}  // namespace

PeakLines peak_lines(const SegmentReader& reader, std::span<const std::uint8_t> is_own, std::size_t most) {
  const segment::Header& header = reader.header();
  const std::uint64_t generation = header.generation.load(std::memory_order_acquire);
  const std::uint32_t site_count = reader.site_count();
  const segment::SiteFrame* frames = reader.view().frames();
  const segment::SiteCounts* counts = reader.view().counts();
  const auto own = [&](std::uint32_t site) {
    const std::uint32_t code = frames[site].code;
    return code < is_own.size() && is_own[code] != 0;
  };

  /// For each site the one that its bytes are charged to, and what is charged to it.
  std::vector<std::uint32_t> charged(site_count);
  std::vector<std::int64_t> bytes(site_count);
  for (std::uint32_t site = 0; site < site_count; ++site) {
    charged[site] = site;
    if (site > 0 && !own(site)) {
      const std::uint32_t caller = reader.caller_of(site);
      if (caller > 0 && own(charged[caller])) {
        charged[site] = charged[caller];
      }
    }
    bytes[charged[site]] += segment::bytes_at_peak(counts[site], generation);
  }

  // A line is reached by many stacks.
  std::unordered_map<std::uint64_t, std::int64_t> totals;
  for (std::uint32_t site = 0; site < site_count; ++site) {
    if (bytes[site] > 0) {
      totals[key_of(frames[site])] += bytes[site];
    }
  }
  std::vector<std::pair<std::int64_t, std::uint64_t>> order;
  order.reserve(totals.size());
  for (const auto& [key, total] : totals) {
    order.emplace_back(total, key);
  }
  const std::size_t count = std::min(most, order.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
      [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });

  PeakLines lines;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [total, key] = order[i];
    lines.code.push_back(static_cast<std::uint32_t>(key >> 32));
    lines.line.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(key)));
    lines.bytes.push_back(static_cast<double>(total));
  }
  return lines;
}

}  // namespace fil::addon
