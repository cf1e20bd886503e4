#include "../tracker/residency.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "../tracker/system.hpp"

namespace fil::system {
namespace {

constexpr std::size_t page = 4096;
constexpr std::int64_t bytes_of(std::size_t pages) {
  return static_cast<std::int64_t>(pages * page);
}

/// 3,000 pages of which the first, every third from 100 to 400, and the last 1,000 were touched.
class ResidencyTest : public testing::Test {
 protected:
  void SetUp() override {
    base_ = static_cast<char*>(
        mmap(nullptr, 3000 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    ASSERT_NE(base_, MAP_FAILED);
    madvise(base_, 3000 * page, MADV_NOHUGEPAGE);
    base_[0] = 1;
    for (std::size_t i = 100; i < 400; i += 3) {
      base_[i * page] = 1;
    }
    for (std::size_t i = 2000; i < 3000; ++i) {
      base_[i * page] = 1;
    }
    pagemap_ = open_pagemap();
    ASSERT_GE(pagemap_, 0);
  }
  void TearDown() override {
    munmap(base_, 3000 * page);
    close(pagemap_);
  }
  std::uintptr_t at(std::size_t bytes) const { return reinterpret_cast<std::uintptr_t>(base_) + bytes; }

  char* base_ = nullptr;
  int pagemap_ = -1;
};

TEST_F(ResidencyTest, AllWaysToAskAgree) {
  const std::int64_t expected = bytes_of(1 + 100 + 1000);
  EXPECT_EQ(resident_bytes(at(0), at(3000 * page)), expected);
  EXPECT_EQ(resident_bytes_by_reading(pagemap_, at(0), at(3000 * page)), expected);
  EXPECT_EQ(resident_bytes_by_mincore(at(0), at(3000 * page)), expected);
  // Linux before 6.7 has no scan.
  if (const std::int64_t scanned = resident_bytes_by_scan(pagemap_, at(0), at(3000 * page)); scanned >= 0) {
    EXPECT_EQ(scanned, expected);
  }
}

TEST_F(ResidencyTest, APartOfThePagesAndOfAPageCounts) {
  EXPECT_EQ(resident_bytes(at(page), at(100 * page)), 0);
  EXPECT_EQ(resident_bytes(at(page), at(101 * page)), bytes_of(1));
  EXPECT_EQ(resident_bytes(at(2999 * page), at(2999 * page + 10)), 10);
}

TEST_F(ResidencyTest, PagesThatWereOnlyReadAreNoMemory) {
  volatile char seen = 1;
  for (std::size_t i = 500; i < 600; ++i) {
    seen = base_[i * page];
  }
  EXPECT_EQ(seen, 0);
  const std::int64_t scanned = resident_bytes_by_scan(pagemap_, at(500 * page), at(600 * page));
  // Linux before 6.7 has no scan.
  EXPECT_TRUE(scanned == 0 || scanned == -1) << scanned;
}

TEST_F(ResidencyTest, PagesGivenBackCountNoMore) {
  madvise(base_, 3000 * page, MADV_DONTNEED);
  EXPECT_EQ(resident_bytes(at(0), at(3000 * page)), 0);
}

TEST_F(ResidencyTest, OfAFileOnlyWhatWasTouchedHereCounts) {
  char name[] = "/var/tmp/residency-XXXXXX";
  const int file = mkstemp(name);
  ASSERT_GE(file, 0);
  unlink(name);
  const std::string content(100 * page, 'x');
  ASSERT_EQ(write(file, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  auto* mapped = static_cast<char*>(mmap(nullptr, 100 * page, PROT_READ, MAP_PRIVATE, file, 0));
  ASSERT_NE(mapped, MAP_FAILED);
  const auto start = reinterpret_cast<std::uintptr_t>(mapped);
  EXPECT_EQ(resident_bytes(start, start + 100 * page), 0);
  volatile char seen = 0;
  for (std::size_t i = 0; i < 100; ++i) {
    seen = mapped[i * page];
  }
  EXPECT_EQ(seen, 'x');
  EXPECT_EQ(resident_bytes(start, start + 100 * page), bytes_of(100));
  munmap(mapped, 100 * page);
  close(file);
}

TEST(PopulatingTest, TellsOfPagesWithoutMemoryAndChangesNoOthers) {
  // The second page is beyond the file's end: a write to it would be a SIGBUS, as on a file system that is full.
  const int descriptor = memfd_create("populated", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(descriptor, page), 0);
  char* pages = static_cast<char*>(map_shared(descriptor, 2 * page));
  ASSERT_NE(pages, nullptr);
  strcpy(pages, "what stands there");
  for (const auto way : {populate, populate_one_by_one}) {
    EXPECT_TRUE(way(pages, page));
    EXPECT_FALSE(way(pages, 2 * page));
    EXPECT_FALSE(way(pages + page, page));
  }
  EXPECT_STREQ(pages, "what stands there");
  // In a hole of the file each way brings the page into memory.
  for (const auto way : {populate, populate_one_by_one}) {
    ASSERT_TRUE(punch_hole(pages, page));
    unsigned char is_resident = 1;
    ASSERT_EQ(mincore(pages, page, &is_resident), 0);
    EXPECT_EQ(is_resident & 1, 0);
    EXPECT_TRUE(way(pages, page));
    ASSERT_EQ(mincore(pages, page, &is_resident), 0);
    EXPECT_EQ(is_resident & 1, 1);
  }
  unreserve(pages, 2 * page);
  close(descriptor);
}

}  // namespace
}  // namespace fil::system
