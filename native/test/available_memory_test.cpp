#include "../addon/memory/available.hpp"
#include "../addon/memory/process_tree.hpp"
#include "../tracker/production/memory_left.hpp"

#include <gtest/gtest.h>

#include "recorded_machine.hpp"

namespace fil::memory {
namespace {

constexpr std::int64_t mib = std::int64_t{1} << 20;
constexpr std::int64_t gib = std::int64_t{1} << 30;
constexpr pid_t pid = 1000;

struct Expected {
  const char* machine;
  LevelKind kind;
  std::int64_t available;
  std::int64_t limit;
  const char* where;
};

class OnRecordedMachines : public testing::TestWithParam<Expected> {};

TEST_P(OnRecordedMachines, TheTightestLevelDecides) {
  const Expected& expected = GetParam();
  const test::RecordedMachine machine(expected.machine);
  AvailableMemory available(machine.root(), pid);
  const Reading reading = available.read();
  EXPECT_EQ(reading.kind, expected.kind);
  EXPECT_EQ(reading.available_bytes, expected.available);
  EXPECT_EQ(reading.limit_bytes, expected.limit);
  EXPECT_EQ(reading.where, expected.where);
  // What the recorder of a job reads without the C++ library.
  EXPECT_EQ(production::memory_left(machine.root().c_str(), pid), expected.available);
}

constexpr auto host = LevelKind::host;
constexpr auto group = LevelKind::cgroup;

INSTANTIATE_TEST_SUITE_P(
    Machines, OnRecordedMachines,
    testing::Values(
        Expected{"workstation-without-groups", host, 9 * gib, 16 * gib, ""},
        // 64 GB of swap are no memory.
        Expected{"workstation-systemd-v2", host, 20 * gib, 32 * gib, ""},
        Expected{"docker-v2-namespace", group, (512 - 400 + 200) * mib, 512 * mib, "/sys/fs/cgroup"},
        Expected{"docker-v2-foreign-mount", group, 112 * mib, 512 * mib, "/sys/fs/cgroup"},
        Expected{"docker-v1", group, (1024 - 900 + 400) * mib, gib, "/sys/fs/cgroup/memory"},
        Expected{"docker-v1-in-docker-v1", group, 2 * gib - 500 * mib, 2 * gib, "/sys/fs/cgroup/memory/docker/ef"},
        Expected{"nested-v1", group, 130 * mib, 2 * gib, "/sys/fs/cgroup/memory/outer"},
        Expected{"nested-v2-high", group, (1024 - 900 + 20) * mib, gib, "/sys/fs/cgroup/kubepods.slice/pod7.slice"},
        Expected{"v1-limit-zero", host, 6 * gib, 8 * gib, ""},
        Expected{"v1-limit-above-long", host, 6 * gib, 8 * gib, ""},
        Expected{"unreadable-files", host, 6 * gib, 8 * gib, ""},
        Expected{"no-statistics", group, 112 * mib, 512 * mib, "/sys/fs/cgroup/a"},
        Expected{"page-cache-v1", group, 411 * mib, 500 * mib, "/sys/fs/cgroup/memory/job"},
        Expected{"page-cache-active-v2", group, 411 * mib, 500 * mib, "/sys/fs/cgroup/job"},
        Expected{"hidden-ancestor-v1", group, 100 * mib, 400 * mib, "/sys/fs/cgroup/memory"},
        Expected{"path-with-blanks", group, 112 * mib, 512 * mib, "/mnt/control groups/my job"},
        Expected{"old-kernel", host, 3 * gib + (20'000 + 900'000 - 50'000) * 1024, 8 * gib, ""},
        Expected{"hybrid-v1-v2", group, (300 - 100 + 25) * mib, 300 * mib, "/sys/fs/cgroup/memory/process_api/job"},
        Expected{"nothing", host, INT64_MAX, INT64_MAX, ""}),
    [](const auto& tested) {
      std::string name = tested.param.machine;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(AvailableMemoryTest, SeesThatAGroupIsKilledAsAWhole) {
  const test::RecordedMachine machine("nested-v2-high");
  machine.write("/sys/fs/cgroup/kubepods.slice/pod7.slice/memory.oom.group", "1\n");
  EXPECT_TRUE(AvailableMemory(machine.root(), pid).read().kills_group);
}

TEST(AvailableMemoryTest, ReadsALimitThatWasChangedMeanwhile) {
  const test::RecordedMachine machine("docker-v2-namespace");
  AvailableMemory available(machine.root(), pid);
  EXPECT_EQ(available.read().limit_bytes, 512 * mib);
  machine.write("/sys/fs/cgroup/memory.max", "1073741824\n");
  EXPECT_EQ(available.read().limit_bytes, gib);
}

TEST(AvailableMemoryTest, CountsTheKillsOfTheKernelOnTheHostAndInTheGroups) {
  const test::RecordedMachine machine("docker-v2-namespace");
  machine.write("/proc/vmstat", "nr_free_pages 100\noom_kill 3\n");
  const AvailableMemory available(machine.root(), pid);
  EXPECT_EQ(available.oom_kills(), 3);
  machine.write("/sys/fs/cgroup/memory.events", "oom 1\noom_kill 2\noom_group_kill 0\n");
  EXPECT_EQ(available.oom_kills(), 5);
}

TEST(AvailableMemoryTest, DoesNotCountSwapAsAvailableAndKnowsWhatOfTheProcessesIsThere) {
  const test::RecordedMachine machine("swapping");
  AvailableMemory available(machine.root(), pid);
  EXPECT_EQ(available.read().available_bytes, gib);
  EXPECT_EQ(available.swap_used_bytes(), 10'485'760LL * 1024);
  ProcessTree tree(machine.root(), pid);
  tree.find();
  EXPECT_EQ(tree.swapped_bytes(), 4'000'000LL * 1024);
}

TEST(AvailableMemoryTest, KnowsHowLongEverythingStoodStill) {
  const test::RecordedMachine machine("docker-v2-namespace");
  machine.write("/proc/pressure/memory",
                "some avg10=80.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=12.50 avg60=9.00 total=1\n");
  machine.write("/sys/fs/cgroup/memory.pressure", "some avg10=90.00 total=1\nfull avg10=61.25 avg60=0.00 total=1\n");
  EXPECT_DOUBLE_EQ(AvailableMemory(machine.root(), pid).stalled_share().value_or(0), 0.6125);
  EXPECT_FALSE(AvailableMemory(test::RecordedMachine("nothing").root(), pid).stalled_share().has_value());
}

TEST(HeadroomTest, IsAHundredMegabytesOrTwoPercentButNoMoreThanATenthOfSmallLimits) {
  EXPECT_EQ(default_headroom(60'000'000), 10'000'000);
  EXPECT_EQ(default_headroom(180'000'000), 30'000'000);
  EXPECT_EQ(default_headroom(200'000'000), 30'000'000);
  EXPECT_EQ(default_headroom(500'000'000), 50'000'000);
  EXPECT_EQ(default_headroom(2'000'000'000), 100'000'000);
  EXPECT_EQ(default_headroom(64'000'000'000), 1'280'000'000);
}

}  // namespace
}  // namespace fil::memory
