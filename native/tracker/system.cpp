#include "system.hpp"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "../shared/segment.hpp"
#include "checks/checks.hpp"
#include "errno_kept.hpp"

namespace fil::system {
namespace {

std::atomic<bool> children_inherit{false};

void* map(std::size_t bytes, int flags, int descriptor, std::size_t offset = 0) {
  const ErrnoKept kept;
  // syscall(), not mmap(): that name is one of our own interposers.
  const long result = syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, flags, descriptor, offset);
  return result == -1 ? nullptr : reinterpret_cast<void*>(result);
}

}  // namespace

void* reserve(std::size_t bytes) {
  return fails(Failpoint::reserve) ? nullptr : map(bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

void discard(void* address, std::size_t bytes) {
  const ErrnoKept kept;
  if (!fails(Failpoint::discard) && syscall(SYS_madvise, address, bytes, MADV_DONTNEED) == 0) [[likely]] {
    return;
  }
  // Pages that the program has locked (mlockall) can't be dropped, only replaced. What stays behind would be taken for
  // live blocks of the next session.
  const long fresh = syscall(SYS_mmap, address, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (fresh == -1) {
    memset(address, 0, bytes);
  }
}

bool keep_from_children(void* address, std::size_t bytes) {
  const ErrnoKept kept;
  return syscall(SYS_madvise, address, bytes, MADV_WIPEONFORK) == 0;
}

void* reserve_for_this_process(std::size_t bytes) {
  void* memory = reserve(bytes);
  if (memory != nullptr && !keep_from_children(memory, bytes)) {
    children_inherit.store(true, std::memory_order_relaxed);
  }
  return memory;
}

bool children_have_nothing() {
  return !children_inherit.load(std::memory_order_relaxed);
}

void unreserve(void* address, std::size_t bytes) {
  const ErrnoKept kept;
  syscall(SYS_munmap, address, bytes);
}

bool populate(void* address, std::size_t bytes) {
  const ErrnoKept kept;
  constexpr int populate_write = 23;  // MADV_POPULATE_WRITE
  const auto start = reinterpret_cast<std::uintptr_t>(address) & ~std::uintptr_t{4095};
  const std::size_t length = segment::align_to_page(reinterpret_cast<std::uintptr_t>(address) + bytes - start);
  return syscall(SYS_madvise, start, length, populate_write) == 0 ||
         (errno == EINVAL && populate_one_by_one(reinterpret_cast<void*>(start), length));
}

bool populate_one_by_one(void* pages, std::size_t bytes) {
  const ErrnoKept kept;
  for (std::size_t offset = 0; offset < bytes; offset += 4096) {
    // Adds 0 to the page's first word. The kernel does it for us, so that a page without memory is an error and no
    // signal.
    constexpr int add_nothing = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);
    std::byte* page = static_cast<std::byte*>(pages) + offset;
    if (syscall(SYS_futex, page, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, page, add_nothing) == -1 &&
        errno == EFAULT) {
      return false;
    }
  }
  return true;
}

bool punch_hole(void* address, std::size_t bytes) {
  const ErrnoKept kept;
  return !fails(Failpoint::punch_hole) && syscall(SYS_madvise, address, bytes, MADV_REMOVE) == 0;
}

bool is_mapped(const void* address) {
  const ErrnoKept kept;
  unsigned char page = 0;
  // ENOMEM is its answer for what is not mapped.
  return syscall(SYS_mincore, address, 1, &page) == 0 || errno != ENOMEM;
}

std::size_t address_space_limit() {
  const ErrnoKept kept;
  rlimit limit{};
  return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : ~std::size_t{0};
}

std::size_t size_of(int descriptor) {
  const ErrnoKept kept;
  struct stat file{};
  if (fstat(descriptor, &file) != 0 || file.st_size < 0 || fails(Failpoint::segment_size)) {
    return 0;
  }
  return static_cast<std::size_t>(file.st_size);
}

void* map_shared(int descriptor, std::size_t bytes, std::size_t offset) {
  return fails(Failpoint::map_segment) ? nullptr : map(bytes, MAP_SHARED, descriptor, offset);
}

void close_descriptor(int descriptor) {
  const ErrnoKept kept;
  syscall(SYS_close, descriptor);
}

bool register_barrier() {
  const ErrnoKept kept;
  return !fails(Failpoint::barrier) && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void barrier_in_all_threads() {
  const ErrnoKept kept;
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void wait_a_little(unsigned attempt) {
  // Twice as long each time: whoever has the lock gets several events done with a warm cache meanwhile. Some 30 us
  // until the processor is yielded.
  constexpr unsigned steps = 12;
  constexpr unsigned longest = 7;
  if (const unsigned step = attempt % steps; step != steps - 1) {
    for (unsigned pauses = 1U << (step < longest ? step : longest); pauses != 0; --pauses) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#else
      asm volatile("yield");
#endif
    }
    return;
  }
  const ErrnoKept kept;
  sched_yield();
}

std::uint64_t now_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

std::int32_t thread_id() {
  return static_cast<std::int32_t>(syscall(SYS_gettid));
}

bool read_own_memory(const void* address, void* to, std::size_t bytes) {
  const ErrnoKept kept;
  const iovec local{to, bytes};
  const iovec remote{const_cast<void*>(address), bytes};
  const bool forbidden = fails(Failpoint::read_own_memory);
  const ssize_t read = forbidden ? -1 : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  if (forbidden || (read == -1 && (errno == ENOSYS || errno == EPERM))) {
    // Forbidden in some containers. Then a wrong table crashes at start-up instead of explaining itself.
    memcpy(to, address, bytes);
    return true;
  }
  return read == static_cast<ssize_t>(bytes);
}

bool die_with_parent(int parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // It may have ended before the request took effect.
  return getppid() == parent;
}

void say(const char* first, const char* second) {
  const char prefix[] = "=fil-profile= ";
  const iovec parts[] = {
      {const_cast<char*>(prefix), sizeof(prefix) - 1},
      {const_cast<char*>(first), strlen(first)},
      {const_cast<char*>(second), strlen(second)},
      {const_cast<char*>("\n"), 1},
  };
  (void)!writev(STDERR_FILENO, parts, 4);
}

void refuse(int status, const char* first, const char* second) {
  say(first, second);
  _exit(status);
}

}  // namespace fil::system
