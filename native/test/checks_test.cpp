// The checked build itself: failpoints and marks that only C++ can reach, and invariants that really end the process.
#include "../tracker/checks/checks.hpp"

#include <gtest/gtest.h>

#include "../tracker/block_table.hpp"
#include "../tracker/ledger.hpp"
#include "../tracker/system.hpp"
#include "private_segment.hpp"

namespace fil {
namespace {

/// Fails while it lives.
class Armed {
 public:
  explicit Armed(Failpoint point) : point_(point) { checks::arm(point_, true); }
  ~Armed() { checks::arm(point_, false); }
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;

 private:
  Failpoint point_;
};

class ChecksTest : public testing::Test {
 protected:
  test::PrivateSegment segment_;
  Ledger ledger_{segment_.view()};
  Exclusive exclusive_;
};

const void* at(std::uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}
Range range(std::uintptr_t start, std::uintptr_t end) {
  return Range{start, end, static_cast<std::int64_t>(end - start), SiteId{5}, Counting::whole};
}
constexpr auto ignore = [](Block) {};

TEST_F(ChecksTest, AFailpointFailsWhileItIsArmed) {
  EXPECT_FALSE(fails(Failpoint::barrier));
  {
    const Armed armed(Failpoint::barrier);
    EXPECT_FALSE(system::register_barrier());
  }
  EXPECT_TRUE(system::register_barrier());
}

TEST_F(ChecksTest, ABlockIsRefusedWhereItsLeafCannotBeMapped) {
  BlockTable table;
  ASSERT_TRUE(table.prepare());
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  {
    const Armed small(Failpoint::small_leaf);
    const Armed large(Failpoint::large_leaf);
    EXPECT_FALSE(table.put(guard, at(0x5000), 100, SiteId{2}, ignore));
    EXPECT_FALSE(table.put(guard, at(0x5000), 1000, SiteId{2}, ignore));
    EXPECT_EQ(table.take(guard, at(0x5000)).bytes, 0);
  }
  // The next one finds memory again.
  EXPECT_TRUE(table.put(guard, at(0x5000), 100, SiteId{2}, ignore));
}

TEST_F(ChecksTest, AHugeBlockIsRefusedWhereItsTableIsFull) {
  BlockTable table;
  ASSERT_TRUE(table.prepare());
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  const Armed armed(Failpoint::huge_blocks_full);
  EXPECT_FALSE(table.put(guard, at(0x5000), std::size_t{1} << 36, SiteId{2}, ignore));
  EXPECT_EQ(table.take(guard, at(0x5000)).bytes, 0);
}

TEST_F(ChecksTest, MemoryThatCannotBeDroppedIsReplaced) {
  const Armed armed(Failpoint::discard);
  auto* page = static_cast<char*>(system::reserve(8192));
  ASSERT_NE(page, nullptr);
  page[0] = page[8191] = 1;
  system::discard(page, 8192);
  EXPECT_EQ(page[0] + page[8191], 0);
  system::unreserve(page, 8192);
}

TEST_F(ChecksTest, AnUnmappedMiddleTakesTheBranchThatCutsInTwo) {
  RangeMap map;
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  ASSERT_TRUE(map.insert(guard, range(1000, 1300)));
  const unsigned before = checks::passes(Mark::range_cut_in_two);
  map.remove(guard, 1100, 100, [](const Range&) {});
  EXPECT_EQ(checks::passes(Mark::range_cut_in_two), before + 1);
}

TEST_F(ChecksTest, BiasIsTakenRevokedAndReturned) {
  ASSERT_TRUE(system::register_barrier());
  exclusive_.allow_bias();
  const unsigned taken = checks::passes(Mark::bias_taken);
  const unsigned revoked = checks::passes(Mark::bias_revoked);
  const unsigned returned = checks::passes(Mark::bias_returned);
  for (int i = 0; i < 1000; ++i) {
    const ExclusiveGuard guard(exclusive_, Gil::held);
  }
  {
    const ExclusiveGuard guard(exclusive_, Gil::not_held);
  }
  EXPECT_EQ(checks::passes(Mark::bias_returned), returned + 1);
  EXPECT_GT(checks::passes(Mark::bias_taken), taken + 500);
  EXPECT_EQ(checks::passes(Mark::bias_revoked), revoked + 1);
}

using ChecksDeathTest = ChecksTest;

TEST_F(ChecksDeathTest, ASiteThatWouldHoldLessThanNothingEndsTheProcess) {
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  EXPECT_DEATH(ledger_.release(guard, SiteId{2}, 16), "a site holds no less than nothing");
}

TEST_F(ChecksDeathTest, OverlappingMappingsEndTheProcess) {
  RangeMap map;
  const ExclusiveGuard guard(exclusive_, Gil::not_held);
  ASSERT_TRUE(map.insert(guard, range(1000, 1300)));
  EXPECT_DEATH(map.insert(guard, range(1100, 1400)), "ranges don't overlap");
}

}  // namespace
}  // namespace fil
