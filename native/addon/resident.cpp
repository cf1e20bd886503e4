#include "resident.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace fil::addon {
namespace {

struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool is_read_only_file = false;
};

void release(const Mapping& mapping) {
  // Private and never written to, so nothing but what the file holds is dropped (madvise(2)).
  madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_DONTNEED);
}

}  // namespace

void release_resident() {
  malloc_trim(0);
  std::FILE* const file = std::fopen("/proc/self/smaps", "re");
  if (file == nullptr) {
    return;
  }
  char line[4096 + 256];
  Mapping mapping;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    unsigned long begin;
    unsigned long end;
    char permissions[5];
    unsigned long kibibytes;
    if (std::sscanf(line, "%lx-%lx %4s", &begin, &end, permissions) == 3) {
      const bool is_read_only = std::strcmp(permissions, "r-xp") == 0 || std::strcmp(permissions, "r--p") == 0;
      mapping = {begin, end, is_read_only && std::strchr(line, '/') != nullptr};
    } else if (mapping.is_read_only_file && std::sscanf(line, "Anonymous: %lu kB", &kibibytes) == 1 && kibibytes == 0) {
      release(mapping);
    }
  }
  std::fclose(file);
}

}  // namespace fil::addon
