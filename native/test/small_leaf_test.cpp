// Pages of the block table in all their states, against brute force.
#include "../tracker/small_leaf.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "../tracker/block_table.hpp"

namespace fil {
namespace {

constexpr std::uintptr_t page_bytes = 1 << 14;

/// How often a branch was taken; 0 in the release build, which doesn't know.
unsigned passes(Mark mark) {
  if constexpr (is_checked_build) {
    return checks::passes(mark);
  } else {
    (void)mark;
    return 0;
  }
}

class SmallLeafTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(table_.prepare()); }

  static const void* at(std::uintptr_t address) { return reinterpret_cast<const void*>(address); }

  void put(std::uintptr_t address, std::size_t bytes, std::uint32_t site) {
    ASSERT_TRUE(table_.put(guard_, at(address), bytes, SiteId{site}, [&](Block block) { stale_.push_back(block); }));
  }
  void expect_taken(std::uintptr_t address, std::int64_t bytes, std::uint32_t site) {
    const Block block = table_.take(guard_, at(address));
    ASSERT_EQ(block.bytes, bytes) << std::hex << address;
    ASSERT_EQ(block.site, SiteId{site}) << std::hex << address;
  }
  void expect_nothing(std::uintptr_t address) { ASSERT_EQ(table_.take(guard_, at(address)).bytes, 0); }
  /// Fills a page with blocks of 16 bytes, each of a call site of its own from `first_site` on.
  void fill(std::uintptr_t page, std::uint32_t first_site) {
    for (std::uint32_t i = 0; i < page_bytes / 16; ++i) {
      put(page + i * 16, 16, first_site + i);
    }
  }
  void expect_filled(std::uintptr_t page, std::uint32_t first_site) {
    for (std::uint32_t i = 0; i < page_bytes / 16; ++i) {
      expect_taken(page + i * 16, 16, first_site + i);
    }
  }
  void expect_passed(Mark mark, unsigned before) {
    if (is_checked_build) {
      EXPECT_GT(passes(mark), before);
    }
  }

  BlockTable table_;
  Exclusive exclusive_;
  ExclusiveGuard guard_{exclusive_, Gil::not_held};
  std::vector<Block> stale_;
};

TEST_F(SmallLeafTest, NeighbouringBlocksMayAllComeFromCallSitesOfTheirOwn) {
  const unsigned widened = passes(Mark::page_widened);
  fill(0x7f00'0000'0000, segment::site_capacity - page_bytes / 16);
  expect_passed(Mark::page_widened, widened);
  expect_filled(0x7f00'0000'0000, segment::site_capacity - page_bytes / 16);
  expect_nothing(0x7f00'0000'0000);
  EXPECT_TRUE(stale_.empty());
}

TEST_F(SmallLeafTest, PagesOfManyKindsLeaveTheirNeighboursAlone) {
  for (std::uint32_t page = 0; page < 3; ++page) {
    fill(0x7f00'0000'0000 + page * page_bytes, 1 + page * 2000);
  }
  for (std::uint32_t page : {1U, 0U, 2U}) {
    expect_filled(0x7f00'0000'0000 + page * page_bytes, 1 + page * 2000);
  }
}

TEST_F(SmallLeafTest, TheLastUnitOfTheLastPageHoldsAnyBlock) {
  const std::uintptr_t region = 0x7f00'0000'0000;
  const std::uintptr_t last_page = region + (1 << 24) - page_bytes;
  for (const std::uint32_t kinds : {1U, 1000U}) {
    for (std::uint32_t i = 0; i < kinds; ++i) {
      put(last_page + i * 16, 16, i + 1);
    }
    put(region + (1 << 24) - 16, 496, (1 << 20) - 1);
    put(region + (1 << 24), 16, 7);
    expect_taken(region + (1 << 24) - 16, 496, (1 << 20) - 1);
    expect_taken(region + (1 << 24), 16, 7);
    for (std::uint32_t i = 0; i < kinds; ++i) {
      expect_taken(last_page + i * 16, 16, i + 1);
    }
  }
}

TEST_F(SmallLeafTest, KindsThatNoBlockHasAnyMoreMakeRoomForNewOnes) {
  const unsigned cleaned = passes(Mark::palette_cleaned);
  const unsigned widened = passes(Mark::page_widened);
  put(0x5000, 64, 900);
  for (std::uint32_t site = 1; site < 500; ++site) {
    put(0x6000, 32, site);
    expect_taken(0x6000, 32, site);
  }
  expect_taken(0x5000, 64, 900);
  expect_passed(Mark::palette_cleaned, cleaned);
  EXPECT_EQ(passes(Mark::page_widened), widened);
}

TEST_F(SmallLeafTest, AnEmptyPageBecomesNarrowAgainButNotForEver) {
  const unsigned narrowed = passes(Mark::page_narrowed);
  for (std::uint32_t round = 0; round < 10; ++round) {
    fill(0x10'0000, 1 + round * 3000);
    expect_filled(0x10'0000, 1 + round * 3000);
    put(0x10'0000, 48, 5);
    expect_taken(0x10'0000, 48, 5);
  }
  expect_passed(Mark::page_narrowed, narrowed);
  EXPECT_LT(passes(Mark::page_narrowed), narrowed + 10);
}

TEST_F(SmallLeafTest, StaleBlocksAreReportedFromPagesInEachState) {
  put(0x7000, 32, 3);
  put(0x7000, 64, 4);
  ASSERT_EQ(stale_.size(), 1U);
  EXPECT_EQ(stale_[0].site, SiteId{3});
  EXPECT_EQ(stale_[0].bytes, 32);
  // The block that makes the page wide stands in the place of one, and so does one behind.
  for (std::uint32_t i = 0; i < 14; ++i) {
    put(0x4000 + i * 16, 16, 100 + i);
  }
  put(0x7000, 16, 200);
  put(0x4000, 128, 201);
  ASSERT_EQ(stale_.size(), 3U);
  EXPECT_EQ(stale_[1].site, SiteId{4});
  EXPECT_EQ(stale_[1].bytes, 64);
  EXPECT_EQ(stale_[2].site, SiteId{100});
  expect_taken(0x7000, 16, 200);
  expect_taken(0x4000, 128, 201);
  expect_taken(0x4010, 16, 101);
}

TEST_F(SmallLeafTest, ClearMakesWidePagesNarrow) {
  fill(0x10'0000, 1);
  table_.clear(guard_);
  for (std::uint32_t i = 0; i < page_bytes / 16; ++i) {
    expect_nothing(0x10'0000 + i * 16);
  }
  put(0x10'0000, 48, 5);
  expect_taken(0x10'0000, 48, 5);
  EXPECT_TRUE(stale_.empty());
}

/// What the table is to know, in maps: one block at each start, and one large start in each 512 bytes.
class Model {
 public:
  /// Returns the blocks that are stale now.
  std::vector<Block> put(std::uintptr_t address, std::size_t requested, std::uint32_t site) {
    std::vector<Block> stale;
    if (const Block same_start = take(address); same_start.bytes != 0) {
      stale.push_back(same_start);
    }
    const Block block{SiteId{site}, BlockTable::counted_bytes(requested)};
    if (block.bytes < 512) {
      small_[address] = block;
      return stale;
    }
    if (const auto same_granule = large_.find(address / 512); same_granule != large_.end()) {
      stale.push_back(same_granule->second.block);
    }
    large_[address / 512] = Large{address, block};
    return stale;
  }
  Block take(std::uintptr_t address) {
    if (const auto found = small_.find(address); found != small_.end()) {
      const Block block = found->second;
      small_.erase(found);
      return block;
    }
    if (const auto found = large_.find(address / 512); found != large_.end() && found->second.address == address) {
      const Block block = found->second.block;
      large_.erase(found);
      return block;
    }
    return Block{SiteId::root, 0};
  }
  std::map<std::pair<SiteId, std::int64_t>, int> blocks() const {
    std::map<std::pair<SiteId, std::int64_t>, int> all;
    for (const auto& [address, block] : small_) {
      ++all[{block.site, block.bytes}];
    }
    for (const auto& [granule, large] : large_) {
      ++all[{large.block.site, large.block.bytes}];
    }
    return all;
  }

 private:
  struct Large {
    std::uintptr_t address;
    Block block;
  };
  std::map<std::uintptr_t, Block> small_;
  std::map<std::uintptr_t, Large> large_;
};

/// Blocks anywhere in a few pages, over each other too, as if frees had not been seen; phases of few and of many kinds.
class RandomBlocks : public SmallLeafTest, public testing::WithParamInterface<unsigned> {};

TEST_P(RandomBlocks, AgreeWithMapsInPagesOfEachState) {
  std::mt19937_64 random(GetParam());
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  // The last page of a region and the first of the next are among them.
  const std::uintptr_t first = 0x7f00'0100'0000 - 2 * page_bytes;
  const std::uint32_t kinds_of_phase[] = {2, 6, 14, 20, 60, 5000, segment::site_capacity - 1};
  Model model;
  for (int phase = 0; phase < 20; ++phase) {
    const std::uint32_t kinds = kinds_of_phase[below(std::size(kinds_of_phase))];
    const std::size_t most_bytes = below(2) == 0 ? 64 : 700;
    const std::uint64_t puts_of_ten = 1 + below(9);
    for (int event = 0; event < 4000; ++event) {
      const std::uintptr_t address = first + below(4 * page_bytes / 16) * 16;
      if (below(10) < puts_of_ten) {
        const std::size_t bytes = below(most_bytes);
        const auto site = static_cast<std::uint32_t>(1 + below(kinds));
        stale_.clear();
        put(address, bytes, site);
        const std::vector<Block> truth = model.put(address, bytes, site);
        ASSERT_EQ(stale_.size(), truth.size());
        for (std::size_t i = 0; i < truth.size(); ++i) {
          ASSERT_EQ(stale_[i].site, truth[i].site);
          ASSERT_EQ(stale_[i].bytes, truth[i].bytes);
        }
      } else {
        const Block truth = model.take(address);
        expect_taken(address, truth.bytes, index_of(truth.site));
      }
    }
    if (below(3) == 0) {
      // Whole pages are given back, so that wide ones become narrow.
      const std::uintptr_t page = first + below(4) * page_bytes;
      for (std::uintptr_t address = page; address < page + page_bytes; address += 16) {
        const Block truth = model.take(address);
        expect_taken(address, truth.bytes, index_of(truth.site));
      }
    }
    if (phase % 4 != 3) {
      continue;
    }
    std::map<std::pair<SiteId, std::int64_t>, int> found;
    table_.for_each(guard_, [&](Block block) { ++found[{block.site, block.bytes}]; });
    ASSERT_EQ(found, model.blocks());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomBlocks, testing::Range(1U, 7U));

}  // namespace
}  // namespace fil
