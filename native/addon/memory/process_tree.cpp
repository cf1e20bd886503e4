#include "process_tree.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

namespace fil::memory {
namespace {

struct Kin {
  pid_t parent;
  pid_t session;
};

/// Fields 4 and 6 of /proc/PID/stat; the second, the command, may contain anything, so the last ")" ends it.
bool parse_stat(std::string_view text, Kin& to) {
  const std::size_t end = text.rfind(')');
  if (end == std::string_view::npos || end + 4 >= text.size()) {
    return false;
  }
  std::string_view rest = text.substr(end + 4);
  const std::int64_t parent = leading_number(rest).value_or(0);
  for (int field = 0; field < 2; ++field) {
    const std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) {
      return false;
    }
    rest = rest.substr(blank + 1);
  }
  to = Kin{static_cast<pid_t>(parent), static_cast<pid_t>(leading_number(rest).value_or(0))};
  return true;
}

std::int64_t page_bytes() {
  static const std::int64_t bytes = sysconf(_SC_PAGESIZE);
  return bytes;
}

/// The second field of statm: resident pages.
std::int64_t resident_in(std::string_view statm) {
  const std::size_t blank = statm.find(' ');
  return blank == std::string_view::npos ? 0 : leading_number(statm.substr(blank)).value_or(0) * page_bytes();
}

}  // namespace

ProcessTree::ProcessTree(std::string root, pid_t pid)
    : root_(std::move(root)), pid_(pid), top_(root_ + "/proc/" + std::to_string(pid) + "/statm") {}

void ProcessTree::find() {
  std::unordered_map<pid_t, Kin> all;
  DIR* directory = opendir((root_ + "/proc").c_str());
  if (directory == nullptr) {
    return;
  }
  while (const dirent* entry = readdir(directory)) {
    const pid_t pid = atoi(entry->d_name);
    if (pid <= 0) {
      continue;
    }
    char buffer[512];
    Kin kin{};
    if (parse_stat(KeptFile(root_ + "/proc/" + entry->d_name + "/stat").read(buffer), kin)) {
      all.emplace(pid, kin);
    }
  }
  closedir(directory);
  others_.clear();
  const auto own = all.find(pid_);
  const bool leads_session = own != all.end() && own->second.session == pid_;
  for (const auto& [pid, kin] : all) {
    bool belongs = leads_session && kin.session == pid_;
    // A chain of parents can't be longer than there are processes; pids that changed meanwhile could make a ring.
    pid_t above = kin.parent;
    for (std::size_t steps = 0; !belongs && above > 1 && steps < all.size(); ++steps) {
      belongs = above == pid_;
      const auto parent = all.find(above);
      above = parent == all.end() ? 0 : parent->second.parent;
    }
    if (belongs && pid != pid_) {
      others_.push_back(pid);
    }
  }
  std::sort(others_.begin(), others_.end());
}

std::vector<Process> ProcessTree::processes() {
  std::vector<Process> found{{pid_, top_resident_bytes()}};
  for (const pid_t pid : others_) {
    const std::int64_t bytes = resident_bytes_of(pid);
    if (bytes > 0) {
      found.push_back(Process{pid, bytes});
    }
  }
  return found;
}

std::int64_t ProcessTree::top_resident_bytes() const {
  char buffer[128];
  return resident_in(top_.read(buffer));
}

std::int64_t ProcessTree::resident_bytes_of(pid_t pid) const {
  char buffer[128];
  return resident_in(KeptFile(root_ + "/proc/" + std::to_string(pid) + "/statm").read(buffer));
}

std::int64_t ProcessTree::swapped_bytes() const {
  std::int64_t bytes = 0;
  std::vector<pid_t> all = others_;
  all.push_back(pid_);
  for (const pid_t pid : all) {
    const std::string status = read_whole(root_ + "/proc/" + std::to_string(pid) + "/status").value_or("");
    bytes += number_of(status, "VmSwap").value_or(0) * 1024;
  }
  return bytes;
}

std::string ProcessTree::command_of(pid_t pid) const {
  std::string text = read_whole(root_ + "/proc/" + std::to_string(pid) + "/cmdline").value_or("");
  while (!text.empty() && text.back() == '\0') {
    text.pop_back();
  }
  std::replace(text.begin(), text.end(), '\0', ' ');
  constexpr std::size_t longest = 200;
  return text.substr(0, longest);
}

}  // namespace fil::memory
