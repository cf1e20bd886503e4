// How much of a range of addresses is in memory, asked from the kernel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fil::system {

/// Bytes of the pages of [start, end) that this process has in memory or in swap, in whole pages but for a part of one
/// at the end. Pages that were only read and never written to do not count where the kernel can tell (6.7). A page of a
/// file that is in the page cache and was not touched here does not count. -1 where the kernel doesn't tell.
std::int64_t resident_bytes(std::uintptr_t start, std::uintptr_t end);

/// Resident memory of this process that is neither a file's nor shared; -1 where the kernel doesn't tell.
std::int64_t private_resident_bytes();

/// The ways to ask, for the tests: resident_bytes() takes the first that this kernel has. -1 if it has it not.
std::int64_t resident_bytes_by_scan(int pagemap, std::uintptr_t start, std::uintptr_t end);
std::int64_t resident_bytes_by_reading(int pagemap, std::uintptr_t start, std::uintptr_t end);
std::int64_t resident_bytes_by_mincore(std::uintptr_t start, std::uintptr_t end);
int open_pagemap();

}  // namespace fil::system
