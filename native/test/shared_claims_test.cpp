#include "../tracker/shared_claims.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "../shared/tree_shared.hpp"

namespace fil {
namespace {

/// A process, as far as shared memory is concerned.
struct Process {
  tree::Member member{};
  SharedClaims claims;

  bool change(tree::Control& control, std::uint64_t object, std::int64_t delta) {
    std::int64_t joint_delta = 0;
    const bool counts = claims.change(control, member, object, delta, joint_delta);
    tree::change_joint(control.joint, joint_delta);
    return counts;
  }
  void end(tree::Control& control) { tree::change_joint(control.joint, tree::unshare_all(control, member)); }
};

class SharedClaimsTest : public testing::Test {
 protected:
  std::int64_t joint() const { return tree::joint_current(control_->joint); }

  std::unique_ptr<tree::Control> control_ = std::make_unique<tree::Control>();
  Process first_;
  Process second_;
};

TEST_F(SharedClaimsTest, WhatTwoMapCountsOnceUntilNobodyHasIt) {
  EXPECT_TRUE(first_.change(*control_, 1, 100));
  EXPECT_TRUE(second_.change(*control_, 1, 100));
  EXPECT_EQ(joint(), 100);
  EXPECT_TRUE(first_.change(*control_, 1, -100));
  EXPECT_EQ(joint(), 100);
  EXPECT_EQ(first_.claims.bytes(), 0);
  EXPECT_TRUE(second_.change(*control_, 1, -100));
  EXPECT_EQ(joint(), 0);
}

TEST_F(SharedClaimsTest, WhatOneMapsMoreOfCounts) {
  first_.change(*control_, 1, 100);
  second_.change(*control_, 1, 60);
  second_.change(*control_, 1, 90);
  EXPECT_EQ(joint(), 150);
  second_.change(*control_, 1, -150);
  first_.change(*control_, 1, -70);
  EXPECT_EQ(joint(), 30);
}

TEST_F(SharedClaimsTest, AProcessThatEndsHasNothingMapped) {
  first_.change(*control_, 1, 100);
  first_.change(*control_, 3, 10);
  second_.change(*control_, 1, 100);
  first_.end(*control_);
  EXPECT_EQ(joint(), 100);
  EXPECT_EQ(first_.member.shared_bytes, 0);
  second_.end(*control_);
  EXPECT_EQ(joint(), 0);
}

TEST_F(SharedClaimsTest, WhatFindsNoPlaceIsTheProcesss) {
  for (std::uint64_t object = 0; object < tree::most_shared; ++object) {
    EXPECT_TRUE(first_.change(*control_, 2 * object + 1, 5));
  }
  EXPECT_FALSE(second_.change(*control_, 999'999, 5));
  EXPECT_TRUE(second_.change(*control_, 7, 5));
  // It was mapped while there was no place, and is none of the table's now that there is one.
  first_.change(*control_, 1, -5);
  EXPECT_FALSE(second_.change(*control_, 999'999, -5));
  EXPECT_EQ(joint(), 5 * static_cast<std::int64_t>(tree::most_shared - 1));
}

TEST_F(SharedClaimsTest, ASessionBeginsWithNothing) {
  first_.change(*control_, 1, 100);
  tree::forget_all(*control_);
  first_.claims.clear(first_.member);
  first_.end(*control_);
  EXPECT_EQ(joint(), 0);
  EXPECT_TRUE(first_.change(*control_, 1, 40));
  EXPECT_EQ(joint(), 40);
}

TEST_F(SharedClaimsTest, AgreesWithAModel) {
  constexpr std::size_t processes = 4;
  constexpr std::uint64_t objects = 6;
  for (unsigned seed = 1; seed <= 50; ++seed) {
    auto control = std::make_unique<tree::Control>();
    std::mt19937 random(seed);
    std::vector<Process> all(processes);
    // Each maps all of an object, or nothing: then the bytes do not depend on who came first.
    std::vector<std::map<std::uint64_t, std::int64_t>> held(processes);
    for (int step = 0; step < 400; ++step) {
      const std::size_t process = random() % processes;
      const std::uint64_t object = 2 * (random() % objects) + 1;
      const auto bytes = static_cast<std::int64_t>(1000 * object);
      if (random() % 20 == 0) {
        all[process].end(*control);
        all[process].claims.clear(all[process].member);
        held[process].clear();
      } else if (held[process].contains(object)) {
        EXPECT_TRUE(all[process].change(*control, object, -bytes));
        held[process].erase(object);
      } else {
        EXPECT_TRUE(all[process].change(*control, object, bytes));
        held[process][object] = bytes;
      }
      std::map<std::uint64_t, std::int64_t> together;
      for (const auto& each : held) {
        together.insert(each.begin(), each.end());
      }
      std::int64_t sum = 0;
      for (const auto& [_, each] : together) {
        sum += each;
      }
      ASSERT_EQ(tree::joint_current(control->joint), sum) << "seed " << seed << ", step " << step;
      ASSERT_EQ(tree::shared_bytes(*control), sum);
    }
  }
}

}  // namespace
}  // namespace fil
