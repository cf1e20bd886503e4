#include "../tracker/exclusive.hpp"

#include <gtest/gtest.h>

#include <barrier>
#include <mutex>
#include <thread>
#include <vector>

#include "../tracker/system.hpp"

namespace fil {
namespace {

/// Threads with and without "the GIL" (a mutex here) count in plain memory; lost updates would show.
class ExclusiveTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      ASSERT_TRUE(system::register_barrier());
      exclusive_.allow_bias();
    }
  }

  void count(Gil gil, int times) {
    for (int i = 0; i < times; ++i) {
      if (gil == Gil::held) {
        const std::lock_guard<std::mutex> holds(gil_);
        const ExclusiveGuard guard(exclusive_, Gil::held);
        counter_ = counter_ + 1;
      } else {
        const ExclusiveGuard guard(exclusive_, Gil::not_held);
        counter_ = counter_ + 1;
        if (i % 50 == 0) {
          std::this_thread::yield();
        }
      }
    }
  }

  Exclusive exclusive_;
  /// Of four threads.
  std::barrier<> all_done_{4};
  std::mutex gil_;
  volatile long counter_ = 0;
};

TEST_P(ExclusiveTest, ThreadsWithAndWithoutTheGilExcludeEachOther) {
  constexpr int times = 100'000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([this] { count(Gil::held, times); });
    threads.emplace_back([this] { count(Gil::not_held, times); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(counter_, 4L * times);
}

TEST_P(ExclusiveTest, ThreadsThatAreFavouredInTurnExcludeEachOther) {
  // Long enough in a row to become the favourite, again and again.
  constexpr int times = 100'000;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([this] {
      Presence own{false};
      for (int j = 0; j < times; ++j) {
        const ExclusiveGuard guard(exclusive_, Gil::not_held, &own);
        counter_ = counter_ + 1;
      }
      // Whoever comes later may still look at it.
      all_done_.arrive_and_wait();
    });
  }
  threads.emplace_back([this] {
    count(Gil::held, times);
    all_done_.arrive_and_wait();
  });
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(counter_, 4L * times);
}

TEST_P(ExclusiveTest, AForkedChildStartsUnlocked) {
  const ExclusiveGuard held_by_the_parent(exclusive_, Gil::not_held);
  exclusive_.reset();
  const ExclusiveGuard guard(exclusive_, Gil::held);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutBias, ExclusiveTest, testing::Bool());

}  // namespace
}  // namespace fil
