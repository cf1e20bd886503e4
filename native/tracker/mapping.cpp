#include "mapping.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>

#include "errno_kept.hpp"

namespace fil {
namespace {

/// Reservations cost what is touched of them: allocators take gigabytes and use little.
Counting counting_of(const MapCall& call, bool is_reservation) {
  const bool by_pages = is_reservation || (call.flags & MAP_NORESERVE) != 0;
  if (call.protection == PROT_NONE) {
    return by_pages ? Counting::resident_once_accessible : Counting::whole_once_accessible;
  }
  return by_pages ? Counting::resident : Counting::whole;
}

/// What /proc calls a descriptor's file, without the mark of deleted ones. Empty where it can't be read.
void path_of(int descriptor, char (&path)[Mapping::name_capacity]) {
  char link[32];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  path[length < 0 ? 0 : length] = '\0';
  constexpr char deleted[] = " (deleted)";
  const std::size_t bytes = strlen(path);
  if (bytes > sizeof(deleted) - 1 && strcmp(path + bytes - (sizeof(deleted) - 1), deleted) == 0) {
    path[bytes - (sizeof(deleted) - 1)] = '\0';
  }
}

/// Cuts `prefix` off; false if the path doesn't begin with it.
bool cut_off(const char* prefix, char (&path)[Mapping::name_capacity]) {
  const std::size_t bytes = strlen(prefix);
  if (strncmp(path, prefix, bytes) != 0) {
    return false;
  }
  memmove(path, path + bytes, strlen(path + bytes) + 1);
  return true;
}

/// Odd, from a device and an inode (or a number) on it; different ones clash once in 2^63 pairs.
SharedObject object_of(std::uint64_t device, std::uint64_t inode) {
  std::uint64_t mixed = (device * 0x9e37'79b9'7f4a'7c15U) ^ inode;
  mixed = (mixed ^ (mixed >> 32)) * 0xd6e8'feb8'6659'fd93U;
  return (mixed ^ (mixed >> 32)) | 1U;
}

/// Even, another for each anonymous mapping: it can be mapped twice by mremap only.
SharedObject unnamed_object() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(2, std::memory_order_relaxed) + 2;
}

bool is_dev_zero(const struct stat& file) {
  return S_ISCHR(file.st_mode) && major(file.st_rdev) == 1 && minor(file.st_rdev) == 5;
}

}  // namespace

bool describe(const MapCall& call, Mapping& to) {
  const system::ErrnoKept kept;
  const bool is_shared = (call.flags & MAP_TYPE) != MAP_PRIVATE;
  bool is_memory = (call.flags & MAP_ANONYMOUS) != 0;
  struct stat file{};
  if (!is_memory) {
    if (fstat(call.descriptor, &file) != 0) {
      // Another thread has closed it meanwhile.
      return false;
    }
    is_memory = is_dev_zero(file);
  }
  if (is_memory) {
    const bool is_filled_at_once = (call.flags & (MAP_POPULATE | MAP_LOCKED)) != 0;
    to.kind = is_shared ? segment::CodeKind::shared_memory : segment::CodeKind::python;
    to.counting = counting_of(call, !is_shared && !is_filled_at_once && call.length >= least_reservation_bytes);
    to.object = is_shared ? unnamed_object() : 0;
    return true;
  }
  if (!S_ISREG(file.st_mode)) {
    return false;
  }
  path_of(call.descriptor, to.name);
  // A private mapping of shared memory copies what is written: its pages count as those of a file do.
  if (is_shared && (cut_off("/memfd:", to.name) || cut_off("/dev/shm/", to.name))) {
    const std::size_t end = segment::align_to_page(static_cast<std::size_t>(file.st_size));
    const std::size_t mapped_end = segment::align_to_page(static_cast<std::size_t>(call.offset) + call.length);
    to.kind = segment::CodeKind::shared_memory;
    // Beyond the end there is no memory yet; the program may make it grow.
    to.counting = counting_of(call, mapped_end > end);
    to.object = object_of(file.st_dev, file.st_ino);
    to.offset = static_cast<std::uint64_t>(call.offset);
    return true;
  }
  to.kind = segment::CodeKind::mapped_file;
  to.counting = counting_of(call, true);
  return true;
}

bool describe_shared_segment(int identifier, Mapping& to, std::size_t& bytes) {
  const system::ErrnoKept kept;
  struct shmid_ds info{};
  if (shmctl(identifier, IPC_STAT, &info) != 0) {
    return false;
  }
  bytes = info.shm_segsz;
  to.kind = segment::CodeKind::shared_memory;
  to.counting = Counting::whole;
  // System V segments have no device; their numbers are those of the machine.
  to.object = object_of(0, static_cast<std::uint64_t>(identifier));
  snprintf(to.name, sizeof(to.name), "System V segment %d", identifier);
  return true;
}

}  // namespace fil
