#include "../tracker/range_map.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "../tracker/block_table.hpp"

namespace fil {
namespace {

class RangeMapTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(map_.prepare()); }

  std::map<std::uint32_t, std::int64_t> remove(std::uintptr_t start, std::size_t bytes) {
    std::map<std::uint32_t, std::int64_t> removed;
    map_.remove(guard_, start, bytes, [&](SiteId site, std::int64_t gone) { removed[index_of(site)] += gone; });
    return removed;
  }

  RangeMap map_;
  Exclusive exclusive_;
  ExclusiveGuard guard_{exclusive_, Gil::not_held};
};

using Removed = std::map<std::uint32_t, std::int64_t>;

TEST_F(RangeMapTest, UnmappingTheMiddleLeavesBothEnds) {
  ASSERT_TRUE(map_.insert(guard_, 1000, 300, SiteId{5}));
  EXPECT_EQ(remove(1100, 100), (Removed{{5, 100}}));
  EXPECT_EQ(remove(0, 1100), (Removed{{5, 100}}));
  EXPECT_EQ(remove(1200, 1000), (Removed{{5, 100}}));
  EXPECT_TRUE(map_.empty());
}

TEST_F(RangeMapTest, OneUnmapCanEndSeveralMappings) {
  ASSERT_TRUE(map_.insert(guard_, 300, 100, SiteId{7}));
  ASSERT_TRUE(map_.insert(guard_, 100, 100, SiteId{5}));
  ASSERT_TRUE(map_.insert(guard_, 200, 100, SiteId{6}));
  EXPECT_EQ(remove(150, 200), (Removed{{5, 50}, {6, 100}, {7, 50}}));
  EXPECT_EQ(remove(0, 1000), (Removed{{5, 50}, {7, 50}}));
}

TEST_F(RangeMapTest, UnmappingWhatIsNotThereRemovesNothing) {
  ASSERT_TRUE(map_.insert(guard_, 100, 100, SiteId{5}));
  EXPECT_TRUE(remove(200, 100).empty());
  EXPECT_TRUE(remove(0, 100).empty());
}

TEST_F(RangeMapTest, AFullTableRefuses) {
  for (std::size_t i = 0; i < RangeMap::capacity; ++i) {
    ASSERT_TRUE(map_.insert(guard_, i * 10, 10, SiteId{5}));
  }
  EXPECT_FALSE(map_.insert(guard_, RangeMap::capacity * 10, 10, SiteId{5}));
  // Cutting a range in two needs a place that there is not: the far part is given up, and said so.
  EXPECT_EQ(remove(2, 3), (Removed{{5, 8}}));
}

TEST_F(RangeMapTest, RandomMappingsAgreeWithABytePerPage) {
  constexpr std::size_t pages = 2000;
  std::vector<std::uint32_t> truth(pages);
  std::mt19937_64 random(11);
  for (int event = 0; event < 50'000; ++event) {
    const std::size_t start = random() % pages;
    const std::size_t length = 1 + random() % std::min<std::size_t>(pages - start, 60);
    Removed expected;
    for (std::size_t page = start; page < start + length; ++page) {
      if (truth[page] != 0) {
        expected[truth[page]] += 1;
      }
      truth[page] = 0;
    }
    ASSERT_EQ(remove(start, length), expected) << "event " << event;
    if (random() % 2 == 0) {
      const auto site = static_cast<std::uint32_t>(2 + random() % 50);
      ASSERT_TRUE(map_.insert(guard_, start, length, SiteId{site}));
      std::fill_n(truth.begin() + static_cast<std::ptrdiff_t>(start), length, site);
    }
  }
}

}  // namespace
}  // namespace fil
