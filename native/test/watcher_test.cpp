// The watcher's decisions, on machines whose figures the test sets, about a process that the test has started.
#include "../addon/memory/watcher.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "private_segment.hpp"
#include "recorded_machine.hpp"

namespace fil::memory {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t mb = 1'000'000;
/// Of the host with 8 GB.
constexpr std::int64_t headroom = 8'192'000'000 / 50;

/// A process that waits for signals, and a machine that says of it what the test wants.
class WatcherTest : public testing::Test {
 protected:
  WatcherTest() {
    sigset_t none;
    sigemptyset(&none);
    pid_ = fork();
    if (pid_ == 0) {
      setsid();
      signal(SIGUSR1, SIG_IGN);
      while (true) {
        pause();
      }
    }
    view().guard().admissible_bytes = INT64_MAX;
    view().guard().budget_bytes = INT64_MAX;
    set_resident(100 * mb);
    machine_.set_available(4'000 * mb);
  }
  ~WatcherTest() override {
    watcher_.reset();
    ::kill(pid_, SIGKILL);
    if (!dead_) {
      waitpid(pid_, nullptr, 0);
    }
  }

  segment::View view() const { return segment_.view(); }
  segment::Guard& guard() const { return view().guard(); }

  void set_resident(std::int64_t bytes, pid_t pid = 0) const {
    const std::string process = "/proc/" + std::to_string(pid == 0 ? pid_ : pid);
    machine_.write(process + "/statm", "1 " + std::to_string(bytes / sysconf(_SC_PAGESIZE)) + " 0 0 0 0 0\n");
    machine_.write(process + "/stat", std::to_string(pid == 0 ? pid_ : pid) + " (a (b) c) S " +
                                          std::to_string(pid == 0 ? 1 : pid_) + " 1 " + std::to_string(pid_) + " 0\n");
  }

  void watch(bool guards, std::int64_t limit = 0) {
    WatchOptions options;
    options.pid = pid_;
    options.root = machine_.root();
    options.limit_bytes = limit;
    options.guards = guards;
    watcher_ = std::make_unique<Watcher>(view(), options, [this](const Event& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
    });
  }

  /// Cell 1 begins, as the process would say it.
  void begin_cell() const {
    guard().signal_number = SIGUSR1;
    guard().running_cell = 1;
    pass_time();
  }

  static void pass_time(int ms = 130) { std::this_thread::sleep_for(milliseconds(ms)); }

  std::vector<Event> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

  bool is_killed() {
    int status = 0;
    dead_ = dead_ || waitpid(pid_, &status, WNOHANG) == pid_;
    return dead_;
  }

  test::RecordedMachine machine_{"nothing"};
  test::PrivateSegment segment_;
  pid_t pid_ = 0;
  std::unique_ptr<Watcher> watcher_;
  bool dead_ = false;
  std::mutex mutex_;
  std::vector<Event> events_;
};

TEST_F(WatcherTest, KillsAProgramThatHasTakenNearlyAllMemory) {
  watch(false);
  set_resident(4'000 * mb);
  machine_.set_available(headroom - 5 * mb);
  pass_time();
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].kind, EventKind::killed_program);
  EXPECT_EQ(events()[0].figures.rule, Rule::available);
  EXPECT_EQ(events()[0].figures.limit_bytes, 8'192'000'000);
  EXPECT_NEAR(static_cast<double>(events()[0].figures.resident_bytes), 4e9, 1e6);
  EXPECT_TRUE(is_killed());
}

TEST_F(WatcherTest, DoesNothingAboveTheHeadroom) {
  watch(false);
  set_resident(4'000 * mb);
  machine_.set_available(headroom + 5 * mb);
  pass_time(300);
  EXPECT_TRUE(events().empty());
  EXPECT_FALSE(is_killed());
}

TEST_F(WatcherTest, SparesAProgramThatDidNotTakeTheMemory) {
  watch(false);
  set_resident(150 * mb);
  machine_.set_available(10 * mb);
  pass_time(800);
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].kind, EventKind::not_the_cause);
  EXPECT_FALSE(is_killed());
}

TEST_F(WatcherTest, AsksTheRunningCellFirstAndOnce) {
  watch(true);
  begin_cell();
  set_resident(4'000 * mb);
  machine_.set_available(headroom - 5 * mb);
  pass_time();
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].kind, EventKind::interrupt_requested);
  EXPECT_EQ(guard().request.load(), 1);
  EXPECT_EQ(guard().may_fail_python_allocation.load(), 1) << "nobody took it for 20 ms";
  EXPECT_FALSE(is_killed());
}

TEST_F(WatcherTest, AsksAgainOnlyAfterFurtherGrowth) {
  watch(true);
  begin_cell();
  set_resident(4'000 * mb);
  machine_.set_available(headroom - 5 * mb);
  pass_time();
  guard().request = 0;
  pass_time();
  EXPECT_EQ(events().size(), 1);
  machine_.set_available(headroom - 40 * mb);
  pass_time();
  EXPECT_EQ(events().size(), 2);
}

TEST_F(WatcherTest, AsksAgainAfterRecovery) {
  watch(true);
  begin_cell();
  set_resident(4'000 * mb);
  machine_.set_available(headroom - 5 * mb);
  pass_time();
  guard().request = 0;
  machine_.set_available(4 * headroom);
  pass_time(200);
  machine_.set_available(headroom - 5 * mb);
  pass_time();
  EXPECT_EQ(events().size(), 2);
}

TEST_F(WatcherTest, KillsWhenTheCellDidNotReactAndMemoryIsNearlyGone) {
  watch(true);
  begin_cell();
  set_resident(4'000 * mb);
  machine_.set_available(headroom / 4 - 5 * mb);
  pass_time();
  ASSERT_EQ(events().size(), 2);
  EXPECT_EQ(events()[0].kind, EventKind::interrupt_requested);
  EXPECT_EQ(events()[1].kind, EventKind::killed_program);
  EXPECT_TRUE(is_killed());
}

TEST_F(WatcherTest, NeitherAsksNorKillsInACellThatIsNotTheCause) {
  watch(true);
  begin_cell();
  set_resident(110 * mb);
  machine_.set_available(headroom - 5 * mb);
  pass_time(200);
  EXPECT_EQ(guard().request.load(), 0);
  EXPECT_TRUE(events().empty());
}

TEST_F(WatcherTest, KillsAGreedySubprocessAndSparesTheProgram) {
  const pid_t worker = fork();
  if (worker == 0) {
    while (true) {
      pause();
    }
  }
  machine_.write("/proc/" + std::to_string(worker) + "/cmdline", std::string("python\0worker.py", 16));
  watch(false);
  set_resident(4'000 * mb, worker);
  machine_.set_available(headroom - 5 * mb);
  pass_time(200);
  ASSERT_FALSE(events().empty());
  EXPECT_EQ(events()[0].kind, EventKind::killed_subprocess);
  EXPECT_EQ(events()[0].subject, static_cast<std::uint64_t>(worker));
  EXPECT_EQ(events()[0].command, "python worker.py");
  EXPECT_EQ(waitpid(worker, nullptr, 0), worker);
  EXPECT_FALSE(is_killed());
}

TEST_F(WatcherTest, ActsWhenMoreIsSwappedOutThanIsAvailable) {
  machine_.set_available(2'000 * mb, 6'000 * mb);
  machine_.write("/proc/" + std::to_string(pid_) + "/status", "Name:\tx\nVmSwap:\t 5000000 kB\n");
  watch(false);
  set_resident(1'000 * mb);
  pass_time(200);
  // Swap is read once a second.
  pass_time(1000);
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].figures.rule, Rule::swap);
  EXPECT_TRUE(is_killed());
}

TEST_F(WatcherTest, ALargeSwapInUseByOthersIsNoReason) {
  machine_.set_available(2'000 * mb, 6'000 * mb);
  watch(false);
  set_resident(1'500 * mb);
  pass_time(1200);
  EXPECT_TRUE(events().empty());
}

TEST_F(WatcherTest, ActsUnderPressureOnlyNearTheLimit) {
  machine_.write("/proc/pressure/memory", "some avg10=99.00 total=1\nfull avg10=80.00 avg60=9.00 total=1\n");
  machine_.set_available(1'800 * mb);
  watch(false);
  set_resident(5'000 * mb);
  pass_time(1200);
  EXPECT_TRUE(events().empty());
  machine_.set_available(headroom + headroom / 2);
  pass_time(200);
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].figures.rule, Rule::pressure);
}

TEST_F(WatcherTest, ALimitOfTheUsersCountsWhatTheProcessesHold) {
  watch(false, 1'000 * mb);
  set_resident(880 * mb);
  pass_time(200);
  EXPECT_TRUE(events().empty());
  set_resident(950 * mb);
  pass_time(200);
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].figures.kind, LevelKind::chosen);
  EXPECT_EQ(events()[0].figures.limit_bytes, 1'000 * mb);
}

TEST_F(WatcherTest, AsksACellThatHasUsedUpItsBudget) {
  watch(true);
  begin_cell();
  guard().budget_bytes = 50 * mb;
  view().header().state = segment::State::tracking;
  view().header().current_bytes = 40 * mb;
  pass_time();
  EXPECT_TRUE(events().empty());
  view().header().current_bytes = 51 * mb;
  pass_time();
  ASSERT_EQ(events().size(), 1);
  EXPECT_EQ(events()[0].figures.rule, Rule::budget);
  EXPECT_EQ(events()[0].figures.limit_bytes, 50 * mb);
  EXPECT_EQ(guard().request.load(), 1);
}

TEST_F(WatcherTest, TellsTheProcessHowLargeARequestMayBe) {
  watch(true);
  EXPECT_NEAR(static_cast<double>(guard().admissible_bytes.load()),
              4e9 - static_cast<double>(default_guard_headroom(8'192 * mb)), 1e6);
  machine_.set_available(10 * mb);
  pass_time();
  EXPECT_EQ(guard().admissible_bytes.load(), 0);
}

TEST_F(WatcherTest, TakesANewHeadroomAtOnceButNoMoreThanHalfOfWhatThereIs) {
  watch(true);
  watcher_->set_action(1'000 * mb, true);
  EXPECT_NEAR(static_cast<double>(guard().admissible_bytes.load()), 3e9, 1e6);
  watcher_->set_action(INT64_MAX, true);
  EXPECT_EQ(guard().admissible_bytes.load(), 0);
  watcher_->set_action(0, false);
  EXPECT_EQ(guard().admissible_bytes.load(), INT64_MAX);
}

TEST_F(WatcherTest, LooksTenTimesASecondWhileThereIsPlenty) {
  machine_.set_available(8'000 * mb);
  guard().running_cell = 1;
  watch(true);
  pass_time(1000);
  EXPECT_LE(watcher_->wake_ups(), 12);
  EXPECT_GE(watcher_->wake_ups(), 5);
}

TEST_F(WatcherTest, LooksLessOftenBetweenCells) {
  machine_.set_available(8'000 * mb);
  watch(true);
  pass_time(1000);
  EXPECT_LE(watcher_->wake_ups(), 4);
  EXPECT_GE(watcher_->wake_ups(), 1);
}

TEST_F(WatcherTest, LooksAtOnceWhenACellHasSettingsOfItsOwn) {
  machine_.set_available(8'000 * mb);
  watch(true);
  pass_time(100);
  const std::uint64_t before = watcher_->wake_ups();
  watcher_->set_action(0, true);
  pass_time(100);
  EXPECT_GE(watcher_->wake_ups(), before + 1);
}

}  // namespace
}  // namespace fil::memory
