#include "../tracker/block_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace fil {
namespace {

class BlockTableTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table_.prepare()); }

  static const void* at(std::uintptr_t address) { return reinterpret_cast<const void*>(address); }

  bool put(std::uintptr_t address, std::size_t bytes, std::uint32_t site) {
    return table_.put(guard_, at(address), bytes, SiteId{site}, [&](Block block) { stale_.push_back(block); });
  }
  Block take(std::uintptr_t address) { return table_.take(guard_, at(address)); }

  BlockTable table_;
  Exclusive exclusive_;
  ExclusiveGuard guard_{exclusive_, Gil::not_held};
  std::vector<Block> stale_;
};

TEST_F(BlockTableTest, ABlockIsFoundOnceWithItsSiteAndSize) {
  ASSERT_TRUE(put(0x7f00'0000'1000, 12'345, 77));
  const Block block = take(0x7f00'0000'1000);
  EXPECT_EQ(block.site, SiteId{77});
  EXPECT_EQ(block.bytes, 12'345);
  EXPECT_EQ(take(0x7f00'0000'1000).bytes, 0);
}

TEST_F(BlockTableTest, SizesUpTo512CountInUnitsOf16AndLargerOnesToTheByte) {
  EXPECT_EQ(BlockTable::counted_bytes(0), 16);
  EXPECT_EQ(BlockTable::counted_bytes(1), 16);
  EXPECT_EQ(BlockTable::counted_bytes(17), 32);
  EXPECT_EQ(BlockTable::counted_bytes(512), 512);
  EXPECT_EQ(BlockTable::counted_bytes(513), 513);
  for (std::size_t bytes : {1UL, 16UL, 100UL, 512UL, 513UL, 4097UL, (1UL << 35) - 1, 1UL << 35, 3UL << 40}) {
    ASSERT_TRUE(put(0x10'0000, bytes, 5));
    EXPECT_EQ(take(0x10'0000).bytes, BlockTable::counted_bytes(bytes));
  }
}

TEST_F(BlockTableTest, ALargeBlockMayStartAnywhereInAGranuleBehindSmallOnes) {
  ASSERT_TRUE(put(0x5000, 48, 3));
  ASSERT_TRUE(put(0x5030, 9000, 4));
  EXPECT_EQ(take(0x5000).site, SiteId{3});
  EXPECT_EQ(take(0x5030).bytes, 9000);
  EXPECT_TRUE(stale_.empty());
}

TEST_F(BlockTableTest, ABlockThatWasFreedUnseenIsReportedStaleWhenItsPlaceIsTaken) {
  ASSERT_TRUE(put(0x5000, 600, 3));
  ASSERT_TRUE(put(0x5000, 40, 4));
  ASSERT_EQ(stale_.size(), 1U);
  EXPECT_EQ(stale_[0].bytes, 600);
  // A large block whose first granule held another large block's start.
  ASSERT_TRUE(put(0x6010, 700, 5));
  ASSERT_TRUE(put(0x6020, 800, 6));
  ASSERT_EQ(stale_.size(), 2U);
  EXPECT_EQ(stale_[1].site, SiteId{5});
  EXPECT_EQ(take(0x5000).bytes, 48);
}

TEST_F(BlockTableTest, AddressesBeyondTheDirectoryAreRefused) {
  EXPECT_FALSE(put(std::uintptr_t{1} << 47, 100, 3));
  EXPECT_EQ(take(std::uintptr_t{1} << 47).bytes, 0);
}

TEST_F(BlockTableTest, ClearForgetsEverything) {
  ASSERT_TRUE(put(0x7f00'0000'0000, 100, 3));
  ASSERT_TRUE(put(0x1'0000, 100'000, 3));
  ASSERT_TRUE(put(0x2'0000, std::size_t{1} << 36, 3));
  table_.clear(guard_);
  EXPECT_EQ(take(0x7f00'0000'0000).bytes, 0);
  EXPECT_EQ(take(0x1'0000).bytes, 0);
  EXPECT_EQ(take(0x2'0000).bytes, 0);
}

TEST_F(BlockTableTest, FewBlocksOfAForkedChildAreKeptApartAndSpreadWhenTheyBecomeMany) {
  FewBlocks few{};
  table_.start_over(guard_, &few);
  std::map<std::uintptr_t, Block> truth;
  for (std::uintptr_t i = 0; i < 3 * FewBlocks::most; ++i) {
    const std::uintptr_t address = 0x7f00'0000'0000 + i * 0x4'0010;
    const std::size_t bytes = i % 7 == 0 ? 5000 + i : i % 600;
    ASSERT_TRUE(put(address, bytes, static_cast<std::uint32_t>(i % 1000 + 3)));
    truth[address] = Block{SiteId{static_cast<std::uint32_t>(i % 1000 + 3)}, BlockTable::counted_bytes(bytes)};
    if (i % 100 == 0) {
      std::int64_t sum = 0;
      table_.for_each(guard_, [&](Block block) { sum += block.bytes; });
      for (const auto& [start, block] : truth) {
        sum -= block.bytes;
      }
      ASSERT_EQ(sum, 0) << "with " << truth.size() << " blocks";
    }
    if (i % 5 == 0) {
      const auto victim = std::next(truth.begin(), static_cast<std::ptrdiff_t>(i * 31 % truth.size()));
      const Block block = take(victim->first);
      ASSERT_EQ(block.site, victim->second.site);
      ASSERT_EQ(block.bytes, victim->second.bytes);
      truth.erase(victim);
    }
  }
  EXPECT_TRUE(stale_.empty());
  for (const auto& [start, block] : truth) {
    ASSERT_EQ(take(start).bytes, block.bytes);
  }
}

TEST_F(BlockTableTest, AmongFewABlockThatWasFreedUnseenIsStaleToo) {
  FewBlocks few{};
  table_.start_over(guard_, &few);
  ASSERT_TRUE(put(0x5000, 600, 3));
  ASSERT_TRUE(put(0x5000, 40, 4));
  ASSERT_EQ(stale_.size(), 1U);
  EXPECT_EQ(stale_[0].bytes, 600);
  // Larger than they can be among few.
  ASSERT_TRUE(put(0x10'0000, 3UL << 40, 5));
  EXPECT_EQ(take(0x10'0000).bytes, 3L << 40);
  EXPECT_EQ(take(0x5000).bytes, 48);
  table_.start_over(guard_, &few);
  ASSERT_TRUE(put(0x5000, 40, 4));
  table_.clear(guard_);
  EXPECT_EQ(take(0x5000).bytes, 0);
}

TEST_F(BlockTableTest, RandomBlocksAgreeWithAMap) {
  std::mt19937_64 random(7);
  std::map<std::uintptr_t, Block> truth;
  std::uintptr_t next = 0x7ffe'0000'0000;
  for (int event = 0; event < 300'000; ++event) {
    if (truth.empty() || random() % 5 < 3) {
      const std::size_t bytes = random() % 4 == 0 ? random() % 100'000 : random() % 520;
      next += 16 * (random() % 4);
      const auto site = static_cast<std::uint32_t>(random() % ((1U << 20) - 1) + 1);
      ASSERT_TRUE(put(next, bytes, site));
      truth[next] = Block{SiteId{site}, BlockTable::counted_bytes(bytes)};
      next += (bytes + 31) & ~std::size_t{15};
    } else {
      auto victim = truth.lower_bound(next - random() % 10'000'000);
      victim = victim == truth.end() ? truth.begin() : victim;
      const Block block = take(victim->first);
      ASSERT_EQ(block.site, victim->second.site);
      ASSERT_EQ(block.bytes, victim->second.bytes);
      truth.erase(victim);
    }
  }
  EXPECT_TRUE(stale_.empty());
  for (const auto& [address, block] : truth) {
    ASSERT_EQ(take(address).bytes, block.bytes);
  }
}

}  // namespace
}  // namespace fil
