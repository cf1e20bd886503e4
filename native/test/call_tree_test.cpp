#include "../tracker/call_tree.hpp"

#include <gtest/gtest.h>
#include <string.h>

#include <map>
#include <random>
#include <tuple>

#include "private_segment.hpp"

namespace fil {
namespace {

class CallTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(tree_.prepare());
    tree_.reset(guard_);
  }

  SiteId site(SiteId caller, std::uintptr_t code, std::uint32_t offset) {
    return tree_.site(guard_, caller, test::NumberedCodes::code(code), offset);
  }
  std::string name_of(SiteId site) const {
    const segment::View view = segment_.view();
    const segment::CodeRecord& record = view.codes()[view.frames()[index_of(site)].code];
    return std::string(view.strings() + record.name_offset, record.name_bytes);
  }
  bool degraded() const { return segment_.view().header().degradations != 0; }

  test::PrivateSegment segment_;
  test::NumberedCodes codes_;
  CallTree tree_{segment_.view(), codes_};
  Exclusive exclusive_;
  ExclusiveGuard guard_{exclusive_, Gil::not_held};
};

TEST_F(CallTreeTest, InstructionsOfOneLineAreOneSite) {
  EXPECT_EQ(site(SiteId::root, 1, 16), site(SiteId::root, 1, 22));
  EXPECT_NE(site(SiteId::root, 1, 16), site(SiteId::root, 1, 24));
}

TEST_F(CallTreeTest, TheSameLineCalledFromTwoPlacesIsTwoSites) {
  const SiteId first = site(SiteId::root, 1, 8);
  const SiteId second = site(SiteId::root, 1, 80);
  EXPECT_NE(site(first, 2, 0), site(second, 2, 0));
}

TEST_F(CallTreeTest, ACodeObjectAtAReusedAddressIsAnother) {
  const SiteId before = site(SiteId::root, 1, 8);
  EXPECT_TRUE(tree_.forget_code(guard_, test::NumberedCodes::code(1)));
  EXPECT_FALSE(tree_.forget_code(guard_, test::NumberedCodes::code(1)));
  const SiteId after = site(SiteId::root, 1, 8);
  EXPECT_NE(before, after);
  EXPECT_EQ(name_of(before), "function 1");
  EXPECT_EQ(name_of(after), "function 1");
}

TEST_F(CallTreeTest, FullOfSitesItChargesCallersAndSaysSo) {
  SiteId last = SiteId::root;
  const SiteId caller = site(SiteId::root, 1, 8);
  for (std::uint32_t line = 0; line < segment::site_capacity; ++line) {
    last = site(caller, 2, line * 8);
  }
  EXPECT_EQ(last, caller);
  EXPECT_EQ(site(SiteId::root, 3, 0), SiteId::no_python_stack);
  EXPECT_TRUE(degraded());
  EXPECT_EQ(segment_.view().header().site_count, segment::site_capacity);
}

TEST_F(CallTreeTest, FromSoManySitesOnRecursionIsFoldedAndSaidSo) {
  // Two lines that call each other and themselves: 2^20 stacks of depth 20.
  const SiteId start = site(SiteId::root, 1, 8);
  std::vector<SiteId> level{start};
  for (int depth = 0; depth < 20; ++depth) {
    std::vector<SiteId> next;
    for (const SiteId caller : level) {
      next.push_back(site(caller, 2, 8));
      next.push_back(site(caller, 2, 16));
    }
    level = next;
  }
  EXPECT_LT(segment_.view().header().site_count, tree_.fold_after() + 10);
  EXPECT_TRUE(degraded());
  // Each is charged to its own line, whatever its callers.
  for (std::size_t i = 0; i < level.size(); ++i) {
    ASSERT_EQ(segment_.view().frames()[index_of(level[i])].line, i % 2 == 0 ? 1 : 2);
  }
  // What is not among the callers still has a site of its own.
  const SiteId fresh = site(level.back(), 3, 8);
  EXPECT_NE(fresh, level.back());
  EXPECT_EQ(site(level.back(), 3, 8), fresh);
}

TEST_F(CallTreeTest, FullOfCodesItChargesCallersAndSaysSo) {
  const SiteId caller = site(SiteId::root, 1, 8);
  SiteId last = SiteId::root;
  for (std::uintptr_t code = 2; code < segment::code_capacity + 10; ++code) {
    last = site(caller, code, 0);
  }
  EXPECT_EQ(last, caller);
  EXPECT_TRUE(degraded());
}

TEST_F(CallTreeTest, ResetStartsAnEmptyTree) {
  for (std::uint32_t line = 0; line < 100'000; ++line) {
    const SiteId each = site(SiteId::root, line % 100 + 1, line * 8);
    segment_.view().counts()[index_of(each)].current_bytes = 5;
  }
  tree_.reset(guard_);
  EXPECT_EQ(segment_.view().header().site_count, index_of(SiteId::first_free));
  for (std::uint32_t line = 0; line < 100'000; ++line) {
    const SiteId each = site(SiteId::root, 7, line * 8);
    ASSERT_EQ(segment_.view().counts()[index_of(each)].current_bytes, 0);
  }
}

TEST_F(CallTreeTest, BoundariesOutliveAResetAsForkedChildrenHaveThem) {
  tree_.add_boundary(guard_, test::NumberedCodes::code(9));
  EXPECT_TRUE(tree_.is_boundary(test::NumberedCodes::code(9)));
  EXPECT_FALSE(tree_.is_boundary(test::NumberedCodes::code(8)));
  tree_.reset(guard_);
  EXPECT_TRUE(tree_.is_boundary(test::NumberedCodes::code(9)));
  tree_.forget_boundaries(guard_);
  EXPECT_FALSE(tree_.is_boundary(test::NumberedCodes::code(9)));
}

TEST_F(CallTreeTest, RandomStacksAndDeathsAgreeWithAMap) {
  std::mt19937_64 random(3);
  std::map<std::tuple<SiteId, int, std::uint32_t>, SiteId> truth;
  std::map<std::uintptr_t, int> lives;
  for (int event = 0; event < 200'000; ++event) {
    SiteId known = SiteId::root;
    for (int depth = 0; depth < 4; ++depth) {
      const std::uintptr_t code = 1 + random() % 30;
      const auto offset = static_cast<std::uint32_t>(random() % 64 * 2);
      const SiteId found = site(known, code, offset);
      const int life = static_cast<int>(code) * 100'000 + lives[code];
      const auto [entry, is_new] = truth.try_emplace({known, life, offset / 8}, found);
      ASSERT_EQ(found, entry->second) << "event " << event;
      known = found;
    }
    if (random() % 1000 == 0) {
      const std::uintptr_t dead = 1 + random() % 30;
      tree_.forget_code(guard_, test::NumberedCodes::code(dead));
      ++lives[dead];
    }
    if (degraded()) {
      break;
    }
  }
  EXPECT_GT(truth.size(), tree_.fold_after());
}

/// What `outgrown` of a tree needs, as it is a function without a context.
CallTree* young_tree = nullptr;
segment::View smaller{nullptr};
segment::View larger{nullptr};
int grown_up = 0;

void grow_up(const ExclusiveGuard&) {
  ++grown_up;
  memcpy(static_cast<void*>(larger.base), smaller.base, segment::counts_offset);
  young_tree->be_young(nullptr);
  ASSERT_TRUE(young_tree->grow_up(larger));
}

TEST_F(CallTreeTest, AYoungTreeGrowsUpBeforeItIsFullAndItsSitesKeepTheirNumbersAndNames) {
  constexpr std::uint32_t scale = 8;
  test::PrivateSegment small;
  test::PrivateSegment large;
  smaller = segment::View{small.view().base, scale};
  CallTree::Lent lent{};
  young_tree = &tree_;
  larger = large.view();
  grown_up = 0;
  tree_.start_over(lent);
  tree_.move_to(smaller, false);
  tree_.be_young(grow_up);
  tree_.reset(guard_);
  std::map<std::pair<std::uintptr_t, std::uint32_t>, SiteId> known;
  // More sites, codes and names than it has room for, and recursions that it must not fold.
  for (std::uint32_t line = 0; line < 10; ++line) {
    for (std::uintptr_t code = 1; code < 1000; ++code) {
      known[{code, line}] = site(SiteId::no_python_stack, code, line * 8);
      if (known.size() == 100) {
        ASSERT_EQ(grown_up, 0);
      }
    }
  }
  EXPECT_EQ(grown_up, 1);
  EXPECT_EQ(large.view().header().degradations, 0U);
  EXPECT_EQ(small.view().header().degradations, 0U);
  for (const auto& [key, expected] : known) {
    ASSERT_EQ(site(SiteId::no_python_stack, key.first, key.second * 8), expected);
    const segment::SiteFrame& frame = larger.frames()[index_of(expected)];
    ASSERT_EQ(frame.line, static_cast<std::int32_t>(key.second));
    const segment::CodeRecord& record = larger.codes()[frame.code];
    ASSERT_EQ(std::string(larger.strings() + record.name_offset, record.name_bytes),
              "function " + std::to_string(key.first));
  }
}

}  // namespace
}  // namespace fil
