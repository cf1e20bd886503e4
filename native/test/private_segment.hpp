// A segment in private memory, as the tests need no second process.
#pragma once

#include <cstdlib>
#include <string>

#include "../shared/segment.hpp"
#include "../tracker/call_tree.hpp"
#include "../tracker/system.hpp"

namespace fil::test {

class PrivateSegment {
 public:
  PrivateSegment() : view_{static_cast<std::byte*>(system::reserve(segment::total_bytes))} {
    if (view_.base == nullptr) {
      std::abort();
    }
    view_.header().generation = 1;
    view_.header().peak_generation = 1;
    view_.header().site_count = index_of(SiteId::first_free);
  }
  ~PrivateSegment() { system::unreserve(view_.base, segment::total_bytes); }
  PrivateSegment(const PrivateSegment&) = delete;
  PrivateSegment& operator=(const PrivateSegment&) = delete;

  segment::View view() const { return view_; }

  std::int64_t bytes_at_peak(SiteId site) const {
    return segment::bytes_at_peak(view_.counts()[index_of(site)], view_.header().peak_generation);
  }

  /// What a site held when an allocation last failed; one must have failed.
  std::int64_t bytes_at_failure(SiteId site) const {
    return segment::bytes_at_failure(view_.counts()[index_of(site)], view_.header().failure_generation);
  }

 private:
  segment::View view_;
};

/// Code objects that are numbers: code n has the file "file n" and the function "function n"; line = offset / 8.
class NumberedCodes final : public CodeReader {
 public:
  static const void* code(std::uintptr_t number) { return reinterpret_cast<const void*>(number * 64); }

  std::int32_t line_at(const void*, std::uint32_t offset) const override {
    return static_cast<std::int32_t>(offset / 8);
  }
  std::int32_t first_line(const void*) const override { return 1; }
  std::size_t filename(const void* code, char* to, std::size_t capacity) const override {
    return write("file ", code, to, capacity);
  }
  std::size_t qualified_name(const void* code, char* to, std::size_t capacity) const override {
    return write("function ", code, to, capacity);
  }

 private:
  static std::size_t write(const char* prefix, const void* code, char* to, std::size_t capacity) {
    const std::string text = prefix + std::to_string(reinterpret_cast<std::uintptr_t>(code) / 64);
    if (text.size() > capacity) {
      return capacity + 1;
    }
    text.copy(to, text.size());
    return text.size();
  }
};

}  // namespace fil::test
