// Everything that the tracker asks the operating system for, past its own interposers and without touching errno.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fil::system {

/// Zeroed private memory, sparse: costs only what is touched. Null if there is none. Not counted, as no interposer sees
/// it.
void* reserve(std::size_t bytes);
/// Gives the pages back; they read as zero afterwards. For memory of reserve() only.
void discard(void* address, std::size_t bytes);
/// Memory of reserve() reads as zero in forked children, and its pages are not copied for them. False where the kernel
/// can't (before 4.14).
bool keep_from_children(void* address, std::size_t bytes);
/// reserve() and keep_from_children(), where the kernel can.
void* reserve_for_this_process(std::size_t bytes);
/// Whether it has done so each time: then a forked child has nothing in what its parent has reserved.
bool children_have_nothing();
void unreserve(void* address, std::size_t bytes);

/// Makes sure that these pages of a shared mapping have memory, or a write to them could be a SIGBUS where its file
/// system is full. False if there is none.
bool populate(void* address, std::size_t bytes);
/// The same for whole pages, one at a time: for kernels without MADV_POPULATE_WRITE (before 5.14).
bool populate_one_by_one(void* pages, std::size_t bytes);

/// Makes pages of a shared mapping read as zero again and frees their memory. False where the file system can't.
bool punch_hole(void* address, std::size_t bytes);
/// The limit of `ulimit -v`, in bytes; the largest number if there is none.
std::size_t address_space_limit();

/// Whether something is mapped at an address.
bool is_mapped(const void* address);

/// Size of the file behind a descriptor; 0 if there is none.
std::size_t size_of(int descriptor);
/// @param offset in the file, a multiple of the page size.
void* map_shared(int descriptor, std::size_t bytes, std::size_t offset = 0);
void close_descriptor(int descriptor);

/// Prepares barrier_in_all_threads(); false if the kernel has no membarrier.
bool register_barrier();
/// Every running thread of the process passes a full memory barrier before this returns: membarrier(2), private
/// expedited.
void barrier_in_all_threads();
/// One step of waiting for a lock: pauses first, then yields the processor.
void wait_a_little(unsigned attempt);

/// CLOCK_MONOTONIC.
std::uint64_t now_nanoseconds();

/// The calling thread's id in the kernel.
std::int32_t thread_id();

/// Reads own memory through the kernel, so that a wrong address is a false and not a crash.
bool read_own_memory(const void* address, void* to, std::size_t bytes);

/// SIGKILL for this process when `parent` ends; false if it has ended already.
bool die_with_parent(int parent);

/// One line on stderr, prefixed as all that we say.
void say(const char* first, const char* second = "");
/// The same, and the end of the process with `status`.
[[noreturn]] void refuse(int status, const char* first, const char* second = "");

}  // namespace fil::system
