// Small files of the kernel that are read again and again: the descriptor is kept, a reading is one pread(2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fil::memory {

class KeptFile {
 public:
  KeptFile() = default;
  /// Opens it; a file that can't be opened reads as nothing.
  explicit KeptFile(const std::string& path);
  ~KeptFile();
  KeptFile(KeptFile&& other) noexcept;
  KeptFile& operator=(KeptFile&& other) noexcept;
  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }

  /// The file's text now, up to what fits into the buffer; empty if it can't be read.
  std::string_view read(char* buffer, std::size_t capacity) const;
  template <std::size_t Capacity>
  std::string_view read(char (&buffer)[Capacity]) const {
    return read(buffer, Capacity);
  }

  /// A file that is one number, or "max". Nothing if it is unreadable or something else; "max" is `max_value`.
  std::optional<std::int64_t> read_number() const;

  static constexpr std::int64_t max_value = INT64_MAX;

 private:
  int descriptor_ = -1;
};

/// The whole text of a file of any length; nothing if it can't be read.
std::optional<std::string> read_whole(const std::string& path);

/// A whole number at the start of the text, blanks before it skipped.
std::optional<std::int64_t> leading_number(std::string_view text);

/// The number behind `key` at the start of a line, as in "MemAvailable:   123 kB" or "inactive_file 123".
std::optional<std::int64_t> number_of(std::string_view text, std::string_view key);

/// Calls `action` with each line, without its end.
template <class Action>
void for_each_line(std::string_view text, Action action) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    action(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
}

}  // namespace fil::memory
