#include "files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

namespace fil::memory {

KeptFile::KeptFile(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

KeptFile::~KeptFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

KeptFile::KeptFile(KeptFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

KeptFile& KeptFile::operator=(KeptFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

std::string_view KeptFile::read(char* buffer, std::size_t capacity) const {
  if (descriptor_ < 0) {
    return {};
  }
  ssize_t length = 0;
  do {
    length = pread(descriptor_, buffer, capacity, 0);
  } while (length < 0 && errno == EINTR);
  return length > 0 ? std::string_view(buffer, static_cast<std::size_t>(length)) : std::string_view{};
}

std::optional<std::int64_t> KeptFile::read_number() const {
  char buffer[64];
  const std::string_view text = read(buffer);
  if (text.starts_with("max")) {
    return max_value;
  }
  return leading_number(text);
}

std::optional<std::string> read_whole(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    return std::nullopt;
  }
  std::string text;
  char buffer[8192];
  ssize_t length = 0;
  while ((length = ::read(descriptor, buffer, sizeof(buffer))) > 0 || (length < 0 && errno == EINTR)) {
    if (length > 0) {
      text.append(buffer, static_cast<std::size_t>(length));
    }
  }
  close(descriptor);
  if (length < 0) {
    return std::nullopt;
  }
  return text;
}

std::optional<std::int64_t> leading_number(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + start, text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    // Some kernels print limits as unsigned: more than 2^63 is no limit.
    return KeptFile::max_value;
  }
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

std::optional<std::int64_t> number_of(std::string_view text, std::string_view key) {
  std::size_t at = text.find(key);
  while (at != std::string_view::npos) {
    const std::size_t end = at + key.size();
    const bool starts_line = at == 0 || text[at - 1] == '\n';
    if (starts_line && end < text.size() && (text[end] == ' ' || text[end] == ':' || text[end] == '\t')) {
      return leading_number(text.substr(end + (text[end] == ':' ? 1 : 0)));
    }
    at = text.find(key, end);
  }
  return std::nullopt;
}

}  // namespace fil::memory
