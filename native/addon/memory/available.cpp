#include "available.hpp"

#include <algorithm>
#include <string_view>

namespace fil::memory {
namespace {

/// v1's "no limit" is 2^63 less a page; nobody has an exbibyte.
constexpr std::int64_t no_limit_from = std::int64_t{1} << 60;
constexpr auto file_bytes_age = std::chrono::milliseconds(50);
constexpr auto membership_age = std::chrono::seconds(1);

/// A mounted hierarchy of control groups.
struct Mount {
  std::string point;
  /// Which group is seen at the mount point; relative to the reader's namespace.
  std::string root;
  bool is_v1;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text = text.substr(end + 1);
  }
}

bool has_word(std::string_view list, std::string_view word) {
  const std::vector<std::string_view> words = split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// mountinfo writes blanks and backslashes in octal: "\040".
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() + 0 && text[i + 1] >= '0' && text[i + 1] <= '3') {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Mounts of the memory controller (v1) and of the unified hierarchy (v2); proc(5) describes the fields.
std::vector<Mount> cgroup_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  for_each_line(mountinfo, [&](std::string_view line) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) {
      return;
    }
    const std::vector<std::string_view> before = split(line.substr(0, dash), ' ');
    const std::vector<std::string_view> after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.empty()) {
      return;
    }
    const bool is_v1 = after[0] == "cgroup" && after.size() >= 3 && has_word(after[2], "memory");
    if (is_v1 || after[0] == "cgroup2") {
      mounts.push_back(Mount{unescaped(before[4]), unescaped(before[3]), is_v1});
    }
  });
  return mounts;
}

/// The process's path in a hierarchy, from /proc/PID/cgroup; nothing if it is in none.
std::optional<std::string> path_in(std::string_view membership, bool v1) {
  std::optional<std::string> path;
  for_each_line(membership, [&](std::string_view line) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) {
      return;
    }
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (v1 ? has_word(controllers, "memory") : controllers.empty() && line.starts_with("0:")) {
      path = std::string(line.substr(second + 1));
    }
  });
  return path;
}

/// Below the mount point, where the process's group is seen: "" for the mount point itself.
std::string place_in_mount(const Mount& mount, const std::string& path) {
  if (path.find("..") != std::string::npos || path == "/") {
    // Outside of our namespace, or at its root.
    return "";
  }
  // A namespace's mount may show a group above its root as "/../..": the path then is relative to neither.
  if (mount.root == "/" || mount.root.find("..") != std::string::npos) {
    return path;
  }
  if (path == mount.root) {
    return "";
  }
  if (path.starts_with(mount.root + "/")) {
    return path.substr(mount.root.size());
  }
  return path;
}

std::int64_t count_of(const std::string& path, std::string_view key) {
  const std::optional<std::string> text = read_whole(path);
  return text ? number_of(*text, key).value_or(0) : 0;
}

/// avg10 of the line "full" in a pressure file, as a share.
std::optional<double> full_stall(const std::string& path) {
  const std::optional<std::string> text = read_whole(path);
  std::optional<double> share;
  for_each_line(text ? std::string_view(*text) : std::string_view{}, [&](std::string_view line) {
    constexpr std::string_view start = "full avg10=";
    if (line.starts_with(start)) {
      // "12.34": whole and hundredths, without a locale's decimal point.
      const std::string_view figure = line.substr(start.size(), line.find(' ', start.size()) - start.size());
      const std::size_t point = figure.find('.');
      const double whole = static_cast<double>(leading_number(figure).value_or(0));
      const double hundredths = point == std::string_view::npos
                                    ? 0
                                    : static_cast<double>(leading_number(figure.substr(point + 1)).value_or(0));
      share = (whole + hundredths / 100) / 100;
    }
  });
  return share;
}

}  // namespace

AvailableMemory::AvailableMemory(std::string root, pid_t pid)
    : root_(std::move(root)), pid_(pid), host_(root_ + "/proc/meminfo") {
  find_groups();
}

void AvailableMemory::find_groups() {
  groups_.clear();
  membership_read_ = Clock::now();
  membership_ = read_whole(root_ + "/proc/" + std::to_string(pid_) + "/cgroup").value_or("");
  // Ours: it says where the files are that we open.
  const std::string mountinfo = read_whole(root_ + "/proc/self/mountinfo").value_or("");
  std::vector<std::string> seen;
  for (const Mount& mount : cgroup_mounts(mountinfo)) {
    const std::optional<std::string> path = path_in(membership_, mount.is_v1);
    if (!path) {
      continue;
    }
    std::string place = place_in_mount(mount, *path);
    const std::string usage = mount.is_v1 ? "/memory.usage_in_bytes" : "/cgroup.procs";
    if (!KeptFile(root_ + mount.point + place + usage).is_open()) {
      place.clear();
    }
    // The group itself, then those that contain it.
    while (true) {
      const std::string directory = mount.point + place;
      if (std::find(seen.begin(), seen.end(), directory) == seen.end()) {
        seen.push_back(directory);
        add_group(directory, mount.is_v1);
      }
      if (place.empty()) {
        break;
      }
      place.resize(place.find_last_of('/'));
    }
  }
}

void AvailableMemory::add_group(const std::string& directory, bool is_v1) {
  const std::string base = root_ + directory;
  Group group{directory,
              is_v1,
              KeptFile(base + (is_v1 ? "/memory.limit_in_bytes" : "/memory.max")),
              is_v1 ? KeptFile() : KeptFile(base + "/memory.high"),
              KeptFile(base + (is_v1 ? "/memory.usage_in_bytes" : "/memory.current")),
              KeptFile(base + "/memory.stat"),
              !is_v1 && KeptFile(base + "/memory.oom.group").read_number().value_or(0) == 1};
  // Without a usage nothing can be said (the root of v2 has none); without a limit there may still be a hierarchical.
  if (group.usage.is_open() && (group.limit.is_open() || group.statistics.is_open())) {
    groups_.push_back(std::move(group));
  }
}

void AvailableMemory::find_again_if_moved() {
  const Clock::time_point now = Clock::now();
  if (now - membership_read_ < membership_age) {
    return;
  }
  membership_read_ = now;
  const std::optional<std::string> membership = read_whole(root_ + "/proc/" + std::to_string(pid_) + "/cgroup");
  if (membership && *membership != membership_) {
    find_groups();
  }
}

Reading AvailableMemory::read() {
  find_again_if_moved();
  Reading least = read_host().value_or(Reading{});
  const Clock::time_point now = Clock::now();
  for (Group& group : groups_) {
    const std::optional<Reading> reading = read_group(group, now);
    if (reading && reading->available_bytes < least.available_bytes) {
      least = *reading;
    }
  }
  return least;
}

std::optional<Reading> AvailableMemory::read_host() {
  char buffer[4096];
  const std::string_view text = host_.read(buffer);
  const std::optional<std::int64_t> total = number_of(text, "MemTotal");
  std::optional<std::int64_t> available = number_of(text, "MemAvailable");
  if (!available) {
    // Kernels before 3.14 and some container runtimes leave it out.
    const std::optional<std::int64_t> free = number_of(text, "MemFree");
    if (!free) {
      return std::nullopt;
    }
    available = *free + number_of(text, "Buffers").value_or(0) + number_of(text, "Cached").value_or(0) -
                number_of(text, "Shmem").value_or(0);
  }
  swap_used_bytes_ = (number_of(text, "SwapTotal").value_or(0) - number_of(text, "SwapFree").value_or(0)) * 1024;
  return Reading{*available * 1024, total.value_or(*available) * 1024, LevelKind::host, false, {}};
}

std::optional<Reading> AvailableMemory::read_group(Group& group, Clock::time_point now) const {
  std::int64_t limit = group.limit.read_number().value_or(KeptFile::max_value);
  if (!group.is_v1) {
    limit = std::min(limit, group.high.read_number().value_or(KeptFile::max_value));
  }
  if (limit <= 0) {
    limit = KeptFile::max_value;
  }
  const std::optional<std::int64_t> usage = group.usage.read_number();
  if (!usage) {
    return std::nullopt;
  }
  // A kernel with many groups takes long for memory.stat, so far from the limit an old figure has to do.
  const bool is_near = limit - *usage < 4 * default_headroom(limit);
  if (is_near || now - group.file_bytes_read >= file_bytes_age) {
    char buffer[8192];
    const std::string_view text = group.statistics.read(buffer);
    const std::string prefix = group.is_v1 ? "total_" : "";
    group.file_bytes =
        number_of(text, prefix + "inactive_file").value_or(0) + number_of(text, prefix + "active_file").value_or(0);
    if (group.is_v1) {
      group.hierarchical_limit_bytes = number_of(text, "hierarchical_memory_limit").value_or(KeptFile::max_value);
    }
    group.file_bytes_read = now;
  }
  if (group.is_v1 && group.hierarchical_limit_bytes > 0) {
    limit = std::min(limit, group.hierarchical_limit_bytes);
  }
  if (limit >= no_limit_from) {
    return std::nullopt;
  }
  // The page cache is part of the usage, however old its figure is.
  const std::int64_t available = limit - *usage + std::min(group.file_bytes, *usage);
  return Reading{available, limit, LevelKind::cgroup, group.kills_group, group.directory};
}

std::int64_t AvailableMemory::oom_kills() const {
  std::int64_t kills = count_of(root_ + "/proc/vmstat", "oom_kill");
  for (const Group& group : groups_) {
    kills += count_of(root_ + group.directory + (group.is_v1 ? "/memory.oom_control" : "/memory.events"), "oom_kill");
  }
  return kills;
}

std::optional<double> AvailableMemory::stalled_share() const {
  std::optional<double> highest = full_stall(root_ + "/proc/pressure/memory");
  for (const Group& group : groups_) {
    const std::optional<double> share = full_stall(root_ + group.directory + "/memory.pressure");
    if (share && (!highest || *share > *highest)) {
      highest = share;
    }
  }
  return highest;
}

std::int64_t default_headroom(std::int64_t limit_bytes) {
  constexpr std::int64_t usual = 100'000'000;
  // In a container of 64 MiB that would be half of it, and end programs that fit in: a sixth is what they can spare.
  const std::int64_t least = std::min(std::int64_t{30'000'000}, limit_bytes / 6);
  const std::int64_t wanted = std::max(usual, limit_bytes / 50);
  return std::max(least, std::min(wanted, limit_bytes / 10));
}

std::int64_t default_guard_headroom(std::int64_t limit_bytes) {
  // Measured: the first traceback of a session takes 25 MB in Python, the report 15 MB in Node.
  constexpr std::int64_t for_the_error = 40'000'000;
  const std::int64_t headroom = default_headroom(limit_bytes);
  return std::max(headroom, std::min(headroom + for_the_error, limit_bytes / 100 * 18));
}

}  // namespace fil::memory
