// A machine's /proc and control groups, as files below a temporary directory: from native/test/machines, where "===
// PATH" starts a file.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace fil::test {

class RecordedMachine {
 public:
  explicit RecordedMachine(const std::string& name) {
    char pattern[] = "/tmp/fil-machine-XXXXXX";
    root_ = mkdtemp(pattern);
    std::ifstream recorded(std::string(FIL_MACHINES) + "/" + name + ".txt");
    EXPECT_TRUE(recorded.is_open()) << name;
    std::string line;
    std::ofstream file;
    while (std::getline(recorded, line)) {
      if (line.starts_with("=== ")) {
        file.close();
        file.open(created(line.substr(4)));
      } else if (file.is_open()) {
        file << line << "\n";
      }
    }
  }
  ~RecordedMachine() { std::filesystem::remove_all(root_); }
  RecordedMachine(const RecordedMachine&) = delete;
  RecordedMachine& operator=(const RecordedMachine&) = delete;

  const std::string& root() const { return root_; }

  /// Gives a file new content, in place, as the kernel does.
  void write(const std::string& path, const std::string& text) const { std::ofstream(created(path)) << text; }

  /// The host has so much available, of 8 GB, with so much of its swap in use.
  void set_available(std::int64_t bytes, std::int64_t swap_used = 0) const {
    std::ostringstream text;
    text << "MemTotal: 8000000 kB\nMemAvailable: " << bytes / 1024
         << " kB\nSwapTotal: 8000000 kB\nSwapFree: " << 8'000'000 - swap_used / 1024 << " kB\n";
    write("/proc/meminfo", text.str());
  }

 private:
  std::string created(const std::string& path) const {
    const std::string full = root_ + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    return full;
  }

  std::string root_;
};

}  // namespace fil::test
