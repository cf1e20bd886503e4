#include "residency.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "errno_kept.hpp"
#include "system.hpp"

namespace fil::system {
namespace {

constexpr std::uintptr_t page_bytes = 4096;

/// Of include/uapi/linux/fs.h; older headers don't have them.
struct PageRegion {
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t categories;
};
struct ScanArguments {
  std::uint64_t size;
  std::uint64_t flags;
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t walk_end;
  std::uint64_t regions;
  std::uint64_t region_count;
  std::uint64_t most_pages;
  std::uint64_t inverted;
  std::uint64_t required;
  std::uint64_t any_of;
  std::uint64_t returned;
};
static_assert(sizeof(PageRegion) == 24 && sizeof(ScanArguments) == 96);
constexpr unsigned long pagemap_scan = _IOWR('f', 16, ScanArguments);
constexpr std::uint64_t page_is_present = 1U << 3;
constexpr std::uint64_t page_is_swapped = 1U << 4;
/// Read and never written: the kernel's one page of zeros, which is nobody's memory.
constexpr std::uint64_t page_is_the_zero_page = 1U << 5;

/// Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
constexpr std::uint64_t present_or_swapped = std::uint64_t{3} << 62;

std::uintptr_t page_of(std::uintptr_t address) {
  return address & ~(page_bytes - 1);
}

/// Whole pages, but no more than the range has.
std::int64_t within(std::int64_t bytes, std::uintptr_t start, std::uintptr_t end) {
  const auto most = static_cast<std::int64_t>(end - start);
  return bytes < most ? bytes : most;
}

}  // namespace

int open_pagemap() {
  const ErrnoKept kept;
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
}

/// PAGEMAP_SCAN (Linux 6.7) skips what was never touched, however large.
std::int64_t resident_bytes_by_scan(int pagemap, std::uintptr_t start, std::uintptr_t end) {
  const ErrnoKept kept;
  PageRegion regions[64];
  std::int64_t bytes = 0;
  const std::uintptr_t last = page_of(end + page_bytes - 1);
  for (std::uintptr_t from = page_of(start); from < last;) {
    ScanArguments arguments{};
    arguments.size = sizeof(arguments);
    arguments.start = from;
    arguments.end = last;
    arguments.regions = reinterpret_cast<std::uintptr_t>(regions);
    arguments.region_count = sizeof(regions) / sizeof(regions[0]);
    arguments.any_of = page_is_present | page_is_swapped;
    arguments.inverted = page_is_the_zero_page;
    arguments.required = page_is_the_zero_page;
    arguments.returned = arguments.any_of;
    const long found = syscall(SYS_ioctl, pagemap, pagemap_scan, &arguments);
    if (found < 0 || arguments.walk_end <= from) {
      return -1;
    }
    for (long i = 0; i < found; ++i) {
      bytes += static_cast<std::int64_t>(regions[i].end - regions[i].start);
    }
    from = arguments.walk_end;
  }
  return within(bytes, start, end);
}

std::int64_t resident_bytes_by_reading(int pagemap, std::uintptr_t start, std::uintptr_t end) {
  const ErrnoKept kept;
  std::uint64_t entries[2048];
  std::int64_t bytes = 0;
  const std::uintptr_t last = page_of(end + page_bytes - 1) / page_bytes;
  for (std::uintptr_t page = page_of(start) / page_bytes; page < last;) {
    const std::uintptr_t left = last - page;
    const std::size_t wanted = left < 2048 ? left : 2048;
    const long read = syscall(SYS_pread64, pagemap, entries, wanted * sizeof(entries[0]), page * sizeof(entries[0]));
    if (read < static_cast<long>(sizeof(entries[0]))) {
      return -1;
    }
    const std::size_t got = static_cast<std::size_t>(read) / sizeof(entries[0]);
    for (std::size_t i = 0; i < got; ++i) {
      bytes += (entries[i] & present_or_swapped) != 0 ? static_cast<std::int64_t>(page_bytes) : 0;
    }
    page += got;
  }
  return within(bytes, start, end);
}

/// Where /proc is not to be had. Of a file it tells what the page cache has, touched here or not.
std::int64_t resident_bytes_by_mincore(std::uintptr_t start, std::uintptr_t end) {
  const ErrnoKept kept;
  unsigned char pages[4096];
  std::int64_t bytes = 0;
  const std::uintptr_t last = page_of(end + page_bytes - 1);
  for (std::uintptr_t from = page_of(start); from < last; from += sizeof(pages) * page_bytes) {
    const std::uintptr_t left = last - from;
    const std::uintptr_t length = left < sizeof(pages) * page_bytes ? left : sizeof(pages) * page_bytes;
    if (syscall(SYS_mincore, from, length, pages) != 0) {
      return -1;
    }
    for (std::size_t i = 0; i < length / page_bytes; ++i) {
      bytes += (pages[i] & 1U) != 0 ? static_cast<std::int64_t>(page_bytes) : 0;
    }
  }
  return within(bytes, start, end);
}

std::int64_t private_resident_bytes() {
  const ErrnoKept kept;
  const int descriptor = static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  const long read = descriptor < 0 ? -1 : syscall(SYS_read, descriptor, text, sizeof(text) - 1);
  if (descriptor >= 0) {
    close_descriptor(descriptor);
  }
  // Pages: the program's, resident, of these shared.
  long figures[3] = {};
  const char* at = text;
  for (long& figure : figures) {
    while (*at == ' ') {
      ++at;
    }
    for (; *at >= '0' && *at <= '9'; ++at) {
      figure = figure * 10 + (*at - '0');
    }
  }
  return read <= 0 ? -1 : (figures[1] - figures[2]) * static_cast<std::int64_t>(page_bytes);
}

std::int64_t resident_bytes(std::uintptr_t start, std::uintptr_t end) {
  const int pagemap = open_pagemap();
  if (pagemap < 0) {
    return resident_bytes_by_mincore(start, end);
  }
  std::int64_t bytes = resident_bytes_by_scan(pagemap, start, end);
  if (bytes < 0) {
    bytes = resident_bytes_by_reading(pagemap, start, end);
  }
  close_descriptor(pagemap);
  return bytes;
}

}  // namespace fil::system
