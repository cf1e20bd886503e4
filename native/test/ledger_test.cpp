#include "../tracker/ledger.hpp"

#include <gtest/gtest.h>
#include <string.h>

#include <random>
#include <vector>

#include "private_segment.hpp"

namespace fil {
namespace {

/// What the ledger must agree with: copies every site at each new peak.
class BruteForce {
 public:
  explicit BruteForce(std::size_t sites) : held_(sites), at_peak_(sites) {}

  void change(std::size_t site, std::int64_t delta) {
    held_[site] += delta;
    total_ += delta;
    if (total_ > peak_) {
      peak_ = total_;
      at_peak_ = held_;
    }
  }

  void fail() { at_failure_ = held_; }

  std::int64_t at_failure(std::size_t site) const { return at_failure_.empty() ? 0 : at_failure_[site]; }
  std::int64_t held(std::size_t site) const { return held_[site]; }
  std::int64_t at_peak(std::size_t site) const { return at_peak_[site]; }
  std::int64_t peak() const { return peak_; }

 private:
  std::vector<std::int64_t> held_;
  std::vector<std::int64_t> at_peak_;
  std::vector<std::int64_t> at_failure_;
  std::int64_t total_ = 0;
  std::int64_t peak_ = 0;
};

class LedgerTest : public testing::Test {
 protected:
  test::PrivateSegment segment_;
  Ledger ledger_{segment_.view()};
  Exclusive exclusive_;
};

Ledger* young_ledger = nullptr;
segment::View grown{nullptr};

TEST_F(LedgerTest, AYoungProcessClaimsNothingUntilItHoldsMoreThanOthersAreAhead) {
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  tree::Control control{};
  control.credit_bytes = 1000;
  tree::Member& member = tree::member_of(segment_.view());
  test::PrivateSegment larger;
  young_ledger = &ledger_;
  grown = larger.view();
  ledger_.join(guard, control, member, 1);
  ledger_.be_young(guard, [](const ExclusiveGuard& held) { young_ledger->grow_up(held, grown); });
  ledger_.allocate(guard, SiteId{2}, 2000);
  EXPECT_EQ(tree::joint_current(control.joint), 0);
  EXPECT_EQ(tree::joint_peak(control.joint), 0);
  // Another process makes a peak: what this one held then is kept all the same.
  tree::change_joint(control.joint, 500);
  ledger_.release(guard, SiteId{2}, 800);
  EXPECT_EQ(segment_.view().counts()[2].joint_bytes, 2000);
  tree::change_joint(control.joint, -500);
  memcpy(static_cast<void*>(grown.base), segment_.view().base, segment::counts_offset);
  memcpy(static_cast<void*>(grown.counts()), segment_.view().counts(), 100 * sizeof(segment::SiteCounts));
  tree::member_of(grown).claimed = 0;
  ledger_.allocate(guard, SiteId{3}, 900);
  EXPECT_EQ(tree::member_of(grown).claimed, tree::joint_current(control.joint));
  EXPECT_GE(tree::joint_current(control.joint), 2100);
  EXPECT_LE(tree::joint_peak(control.joint), 2100 + 2 * 1000);
  EXPECT_EQ(grown.header().current_bytes, 2100);
  EXPECT_EQ(grown.counts()[2].current_bytes, 1200);
}

TEST_F(LedgerTest, MemoryFreedBeforeThePeakIsNotInIt) {
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  ledger_.allocate(guard, SiteId{2}, 100);
  ledger_.release(guard, SiteId{2}, 100);
  ledger_.allocate(guard, SiteId{3}, 150);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{2}), 0);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{3}), 150);
}

TEST_F(LedgerTest, MemoryFreedAfterThePeakIsInIt) {
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  ledger_.allocate(guard, SiteId{2}, 100);
  ledger_.allocate(guard, SiteId{3}, 50);
  ledger_.release(guard, SiteId{2}, 100);
  ledger_.allocate(guard, SiteId{4}, 99);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{2}), 100);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{3}), 50);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{4}), 0);
  EXPECT_EQ(segment_.view().header().peak_bytes, 150);
}

TEST_F(LedgerTest, ReachingThePeakAgainKeepsTheFirst) {
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  ledger_.allocate(guard, SiteId{2}, 100);
  ledger_.release(guard, SiteId{2}, 100);
  ledger_.allocate(guard, SiteId{3}, 100);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{2}), 100);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{3}), 0);
}

TEST_F(LedgerTest, TheStateAtAFailureStaysWhatItWas) {
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  ledger_.allocate(guard, SiteId{2}, 100);
  ledger_.allocate(guard, SiteId{3}, 50);
  ledger_.release(guard, SiteId{2}, 40);
  ledger_.mark_failure(guard);
  ledger_.release(guard, SiteId{2}, 60);
  ledger_.allocate(guard, SiteId{4}, 500);
  EXPECT_EQ(segment_.bytes_at_failure(SiteId{2}), 60);
  EXPECT_EQ(segment_.bytes_at_failure(SiteId{3}), 50);
  EXPECT_EQ(segment_.bytes_at_failure(SiteId{4}), 0);
  EXPECT_EQ(segment_.bytes_at_peak(SiteId{4}), 500);
}

class LedgerAgainstBruteForce : public LedgerTest, public testing::WithParamInterface<unsigned> {};

TEST_P(LedgerAgainstBruteForce, EverySiteHoldsAtThePeakWhatACopyOfAllSitesWouldSay) {
  constexpr std::size_t sites = 40;
  constexpr int events = 200'000;
  std::mt19937_64 random(GetParam());
  BruteForce truth(sites);
  // Waves, so that new peaks come in runs, rarely, and after long quiet.
  for (int event = 0; event < events; ++event) {
    const std::size_t site = 2 + random() % (sites - 2);
    const bool grow = (event / (1 << (GetParam() % 14 + 2))) % 2 == 0 ? random() % 10 < 7 : random() % 10 < 3;
    const auto bytes = static_cast<std::int64_t>(random() % 5000 + 1);
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
    // From often to hardly ever.
    if (random() % (std::uint64_t{8} << (GetParam() % 12)) == 0) {
      ledger_.mark_failure(guard);
      truth.fail();
    }
    if (grow) {
      ledger_.allocate(guard, SiteId{static_cast<std::uint32_t>(site)}, bytes);
      truth.change(site, bytes);
    } else if (const std::int64_t gone = std::min(bytes, truth.held(site)); gone > 0) {
      ledger_.release(guard, SiteId{static_cast<std::uint32_t>(site)}, gone);
      truth.change(site, -gone);
    }
    if (event % 997 == 0) {
      std::int64_t sum = 0;
      for (std::size_t i = 0; i < sites; ++i) {
        const std::int64_t bytes_at_peak = segment_.bytes_at_peak(SiteId{static_cast<std::uint32_t>(i)});
        ASSERT_EQ(bytes_at_peak, truth.at_peak(i)) << "site " << i << " after event " << event;
        if (segment_.view().header().failure_generation != 0) {
          ASSERT_EQ(segment_.bytes_at_failure(SiteId{static_cast<std::uint32_t>(i)}), truth.at_failure(i));
        }
        sum += bytes_at_peak;
      }
      ASSERT_EQ(sum, truth.peak());
      ASSERT_EQ(segment_.view().header().peak_bytes, truth.peak());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerAgainstBruteForce, testing::Range(1U, 21U));

}  // namespace
}  // namespace fil
