#include "memory_left.hpp"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace fil::production {
namespace {

/// v1's "no limit" is 2^63 less a page.
constexpr std::int64_t no_limit_from = std::int64_t{1} << 60;

/// A small file of the kernel's, with a zero at the end; empty if it can't be read.
template <std::size_t size>
const char* read_into(char (&buffer)[size], const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  std::size_t have = 0;
  if (file >= 0) {
    for (ssize_t bytes = 0; have + 1 < size && (bytes = read(file, buffer + have, size - 1 - have)) > 0;) {
      have += static_cast<std::size_t>(bytes);
    }
    close(file);
  }
  buffer[have] = '\0';
  return buffer;
}

bool starts_with(const char* text, const char* start) {
  return strncmp(text, start, strlen(start)) == 0;
}

/// The number behind a word at the beginning of a line; `otherwise` if there is none.
std::int64_t number_of(const char* text, const char* word, std::int64_t otherwise) {
  const std::size_t length = strlen(word);
  for (const char* line = text; line != nullptr; line = strchr(line, '\n')) {
    line += *line == '\n' ? 1 : 0;
    if (strncmp(line, word, length) == 0 && (line[length] == ' ' || line[length] == ':')) {
      return strtoll(line + length + 1, nullptr, 10);
    }
  }
  return otherwise;
}

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

/// What the host has left.
std::int64_t host_left(const char* root) {
  char path[PATH_MAX];
  char text[4096];
  snprintf(path, sizeof(path), "%s/proc/meminfo", root);
  read_into(text, path);
  const std::int64_t available = number_of(text, "MemAvailable", -1);
  if (available >= 0) {
    return available * 1024;
  }
  // Kernels before 3.14 and some container runtimes leave it out.
  const std::int64_t free = number_of(text, "MemFree", -1);
  return free < 0
             ? INT64_MAX
             : (free + number_of(text, "Buffers", 0) + number_of(text, "Cached", 0) - number_of(text, "Shmem", 0)) *
                   1024;
}

/// The only number of a file of a group; `otherwise` if there is none, as in "max".
std::int64_t number_in(const char* group, const char* name, std::int64_t otherwise) {
  char path[PATH_MAX];
  char text[64];
  snprintf(path, sizeof(path), "%s/%s", group, name);
  read_into(text, path);
  return is_digit(text[0]) || text[0] == '-' ? strtoll(text, nullptr, 10) : otherwise;
}

/// What a control group has left; INT64_MAX if it has no limit.
std::int64_t group_left(const char* group, bool is_v1) {
  std::int64_t limit = number_in(group, is_v1 ? "memory.limit_in_bytes" : "memory.max", INT64_MAX);
  const std::int64_t usage = number_in(group, is_v1 ? "memory.usage_in_bytes" : "memory.current", -1);
  if (usage < 0) {
    return INT64_MAX;
  }
  if (!is_v1) {
    const std::int64_t high = number_in(group, "memory.high", INT64_MAX);
    limit = high < limit ? high : limit;
  }
  limit = limit <= 0 ? INT64_MAX : limit;
  char path[PATH_MAX];
  char text[8192];
  snprintf(path, sizeof(path), "%s/memory.stat", group);
  read_into(text, path);
  const std::int64_t files = number_of(text, is_v1 ? "total_inactive_file" : "inactive_file", 0) +
                             number_of(text, is_v1 ? "total_active_file" : "active_file", 0);
  if (is_v1) {
    const std::int64_t above = number_of(text, "hierarchical_memory_limit", INT64_MAX);
    limit = above > 0 && above < limit ? above : limit;
  }
  return limit >= no_limit_from ? INT64_MAX : limit - usage + (files < usage ? files : usage);
}

bool has_word(const char* list, const char* end, const char* word) {
  const std::size_t length = strlen(word);
  for (const char* each = list; each < end;) {
    const auto* comma = static_cast<const char*>(memchr(each, ',', static_cast<std::size_t>(end - each)));
    const char* last = comma == nullptr ? end : comma;
    if (static_cast<std::size_t>(last - each) == length && strncmp(each, word, length) == 0) {
      return true;
    }
    each = last + 1;
  }
  return false;
}

/// The process's path in a hierarchy, from /proc/PID/cgroup: "4:cpu,memory:/path", of v2 "0::/path".
bool path_in(const char* membership, bool is_v1, char (&path)[PATH_MAX]) {
  for (const char* line = membership; line != nullptr && *line != '\0';) {
    const char* end = strchrnul(line, '\n');
    const auto* first = static_cast<const char*>(memchr(line, ':', static_cast<std::size_t>(end - line)));
    const auto* second =
        first == nullptr ? nullptr
                         : static_cast<const char*>(memchr(first + 1, ':', static_cast<std::size_t>(end - first - 1)));
    if (second != nullptr && (is_v1 ? has_word(first + 1, second, "memory") : starts_with(line, "0::"))) {
      snprintf(path, sizeof(path), "%.*s", static_cast<int>(end - second - 1), second + 1);
      return true;
    }
    line = *end == '\0' ? end : end + 1;
  }
  return false;
}

/// mountinfo writes blanks and backslashes in octal: "\040". In place.
void unescape(char* text) {
  char* to = text;
  for (const char* from = text; *from != '\0'; ++to) {
    if (*from == '\\' && is_digit(from[1]) && is_digit(from[2]) && is_digit(from[3])) {
      *to = static_cast<char>((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
      from += 4;
    } else {
      *to = *from++;
    }
  }
  *to = '\0';
}

/// A mounted hierarchy of control groups; proc(5) describes the fields.
struct Mount {
  char root[PATH_MAX];
  char point[PATH_MAX];
  bool is_v1;
};

/// False if the line is about something else.
bool read_mount(const char* line, const char* end, Mount& mount) {
  const auto* dash = static_cast<const char*>(memmem(line, static_cast<std::size_t>(end - line), " - ", 3));
  if (dash == nullptr) {
    return false;
  }
  mount.is_v1 = starts_with(dash, " - cgroup ");
  if (!mount.is_v1 && !starts_with(dash, " - cgroup2 ")) {
    return false;
  }
  const auto* options = static_cast<const char*>(memrchr(dash, ' ', static_cast<std::size_t>(end - dash)));
  if (mount.is_v1 && !has_word(options + 1, end, "memory")) {
    return false;
  }
  // Those of a path with blanks are escaped.
  static_assert(PATH_MAX == 4096);
  if (sscanf(line, "%*s %*s %*s %4095s %4095s", mount.root, mount.point) != 2) {
    return false;
  }
  unescape(mount.root);
  unescape(mount.point);
  return true;
}

/// Below the mount point, where the process's group is seen: "" for the mount point itself.
const char* place_in(const Mount& mount, const char* path) {
  if (strstr(path, "..") != nullptr || strcmp(path, "/") == 0) {
    return "";
  }
  const std::size_t length = strlen(mount.root);
  if (strcmp(mount.root, "/") == 0 || strstr(mount.root, "..") != nullptr || strncmp(path, mount.root, length) != 0) {
    return path;
  }
  return path[length] == '/' || path[length] == '\0' ? path + length : path;
}

/// The least of a group and those that contain it.
std::int64_t hierarchy_left(const char* root, const Mount& mount, const char* path) {
  char group[3 * PATH_MAX];
  snprintf(group, sizeof(group), "%s%s", root, mount.point);
  const std::size_t top = strlen(group);
  snprintf(group + top, sizeof(group) - top, "%s", place_in(mount, path));
  char probe[3 * PATH_MAX + 32];
  snprintf(probe, sizeof(probe), "%s/%s", group, mount.is_v1 ? "memory.usage_in_bytes" : "cgroup.procs");
  if (access(probe, R_OK) != 0) {
    group[top] = '\0';
  }
  std::int64_t least = INT64_MAX;
  for (;;) {
    const std::int64_t left = group_left(group, mount.is_v1);
    least = left < least ? left : least;
    if (group[top] == '\0') {
      return least;
    }
    *strrchr(group + top, '/') = '\0';
  }
}

}  // namespace

std::int64_t memory_left(const char* root, int pid) {
  // The recorder has one thread, and a small stack to begin with.
  static char membership[16 << 10];
  static char mounts[256 << 10];
  static Mount mount;
  char path[PATH_MAX];
  char process[16] = "self";
  if (pid != 0) {
    snprintf(process, sizeof(process), "%d", pid);
  }
  std::int64_t least = host_left(root);
  snprintf(path, sizeof(path), "%s/proc/%s/cgroup", root, process);
  read_into(membership, path);
  snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
  read_into(mounts, path);
  for (const char* line = mounts; *line != '\0';) {
    const char* end = strchrnul(line, '\n');
    if (read_mount(line, end, mount) && path_in(membership, mount.is_v1, path)) {
      const std::int64_t left = hierarchy_left(root, mount, path);
      least = left < least ? left : least;
    }
    line = *end == '\0' ? end : end + 1;
  }
  return least;
}

}  // namespace fil::production
