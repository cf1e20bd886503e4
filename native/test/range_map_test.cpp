#include "../tracker/range_map.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace fil {
namespace {

class RangeMapTest : public testing::Test {
 protected:
  std::map<std::uint32_t, std::int64_t> remove(std::uintptr_t start, std::size_t bytes) {
    std::map<std::uint32_t, std::int64_t> removed;
    map_.remove(guard_, start, bytes, [&](const Range& gone) { removed[index_of(gone.site)] += gone.counted; });
    return removed;
  }

  bool insert(std::uintptr_t start, std::size_t bytes, SiteId site) {
    return map_.insert(guard_, Range{start, start + bytes, static_cast<std::int64_t>(bytes), site, Counting::whole});
  }

  RangeMap map_;
  Exclusive exclusive_;
  ExclusiveGuard guard_{exclusive_, Gil::not_held};
};

using Removed = std::map<std::uint32_t, std::int64_t>;

TEST_F(RangeMapTest, UnmappingTheMiddleLeavesBothEnds) {
  ASSERT_TRUE(insert(1000, 300, SiteId{5}));
  EXPECT_EQ(remove(1100, 100), (Removed{{5, 100}}));
  EXPECT_EQ(remove(0, 1100), (Removed{{5, 100}}));
  EXPECT_EQ(remove(1200, 1000), (Removed{{5, 100}}));
  EXPECT_TRUE(map_.empty());
}

TEST_F(RangeMapTest, OneUnmapCanEndSeveralMappings) {
  ASSERT_TRUE(insert(300, 100, SiteId{7}));
  ASSERT_TRUE(insert(100, 100, SiteId{5}));
  ASSERT_TRUE(insert(200, 100, SiteId{6}));
  EXPECT_EQ(remove(150, 200), (Removed{{5, 50}, {6, 100}, {7, 50}}));
  EXPECT_EQ(remove(0, 1000), (Removed{{5, 50}, {7, 50}}));
}

TEST_F(RangeMapTest, UnmappingWhatIsNotThereRemovesNothing) {
  ASSERT_TRUE(insert(100, 100, SiteId{5}));
  EXPECT_TRUE(remove(200, 100).empty());
  EXPECT_TRUE(remove(0, 100).empty());
}

TEST_F(RangeMapTest, AFullTableRefuses) {
  // The largest capacity that doubling reaches from a page of ranges.
  std::size_t largest = 4096 / sizeof(Range);
  while (2 * largest <= RangeMap::max_capacity) {
    largest *= 2;
  }
  for (std::size_t i = 0; i < largest; ++i) {
    ASSERT_TRUE(insert(i * 10, 10, SiteId{5}));
  }
  EXPECT_FALSE(insert(largest * 10, 10, SiteId{5}));
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
      ASSERT_TRUE(insert(start, length, SiteId{site}));
      std::fill_n(truth.begin() + static_cast<std::ptrdiff_t>(start), length, site);
    }
  }
}

}  // namespace
}  // namespace fil
