#include "tree_link.hpp"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../shared/environment.hpp"
#include "../shared/tree_shared.hpp"
#include "errno_kept.hpp"
#include "system.hpp"

namespace fil {
namespace {

/// A path in the tree's directory.
struct Place {
  char text[tree::longest_directory + 32];
};
static_assert(sizeof(tree::control_name) < 20 && sizeof(tree::segment_prefix) < 20);
Place place_of(const char* directory, const char* name) {
  Place place{};
  strcpy(stpcpy(stpcpy(place.text, directory), "/"), name);
  return place;
}
/// Without printf(), which reads in a forked child a dozen pages that it does not need otherwise.
Place place_of(const char* directory, std::uint32_t number) {
  char digits[11] = {};
  char* first = digits + sizeof(digits) - 1;
  do {
    *--first = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  Place place = place_of(directory, tree::segment_prefix);
  strcat(place.text, first);
  return place;
}

int open_file(const char* path, int flags) {
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
}

/// Reached past our interposers.
void* map_over(void* address, int flags, int descriptor) {
  const long mapped = syscall(SYS_mmap, address, sizeof(ControlPage), PROT_READ | PROT_WRITE, flags, descriptor, 0);
  return mapped == -1 ? nullptr : reinterpret_cast<void*>(mapped);
}

/// Whether only this user can have written the file, and it is long enough to be read.
bool is_own_file(int descriptor, std::size_t bytes) {
  struct stat file{};
  return fstat(descriptor, &file) == 0 && S_ISREG(file.st_mode) && file.st_uid == geteuid() &&
         (file.st_mode & 077) == 0 && file.st_size >= static_cast<off_t>(bytes);
}

/// A file that would be longer than the limit costs the process its life (SIGXFSZ).
bool may_be_long(std::size_t bytes) {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes);
}

}  // namespace

bool TreeLink::attach(const char* directory) {
  const system::ErrnoKept kept;
  if (strlen(directory) >= sizeof(directory_)) {
    return false;
  }
  const int descriptor = open_file(place_of(directory, tree::control_name).text, 0);
  if (descriptor < 0) {
    return false;
  }
  tree::Control seen{};
  const bool is_right = is_own_file(descriptor, sizeof(ControlPage)) &&
                        syscall(SYS_pread64, descriptor, &seen, sizeof(seen), 0) == sizeof(seen) &&
                        seen.magic == tree::magic && seen.layout_version == segment::layout_version;
  const bool mapped = is_right && map_over(&control_page, MAP_SHARED | MAP_FIXED, descriptor) != nullptr;
  system::close_descriptor(descriptor);
  if (mapped) {
    memmove(directory_, directory, strlen(directory) + 1);
    attached_ = true;
  }
  return mapped;
}

void TreeLink::stand_by() {
  suspend();
  strcpy(directory_, environment::standing_by);
}

void TreeLink::suspend() {
  const system::ErrnoKept kept;
  if (attached_ && map_over(&control_page, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1) != nullptr) {
    attached_ = false;
  }
}

void TreeLink::resume() {
  if (!attached_ && directory_[0] != '\0') {
    attach(directory_);
  }
}

segment::View TreeLink::refused() {
  tree::refuse(control_page.control, getpid());
  return segment::View{nullptr};
}

segment::View TreeLink::open_segment(tree::Origin origin, bool has_stacks, const tree::Member* parent) {
  const segment::View view = make_segment();
  if (view.base != nullptr) {
    introduce(tree::member_of(view), origin, has_stacks, parent);
    publish(view);
  }
  return view;
}

segment::View TreeLink::make_segment() {
  const system::ErrnoKept kept;
  if (!may_be_long(segment::total_bytes)) {
    return refused();
  }
  const std::uint32_t number = control_page.control.last_member.fetch_add(1, std::memory_order_relaxed) + 1;
  const Place place = place_of(directory_, number);
  const int descriptor = open_file(place.text, O_CREAT | O_EXCL);
  if (descriptor < 0) {
    return refused();
  }
  const std::uint32_t scale = segment::scale_for(system::address_space_limit());
  const std::size_t bytes = segment::bytes_at_scale(scale);
  void* base = ftruncate(descriptor, static_cast<off_t>(segment::total_bytes)) == 0
                   ? system::map_shared(descriptor, bytes)
                   : nullptr;
  system::close_descriptor(descriptor);
  if (base == nullptr || !system::populate(base, 4096)) {
    if (base != nullptr) {
      system::unreserve(base, bytes);
    }
    syscall(SYS_unlinkat, AT_FDCWD, place.text, 0);
    return refused();
  }
  const segment::View view{static_cast<std::byte*>(base), scale};
  initialize_member(view);
  return view;
}

void TreeLink::publish(const segment::View& view) {
  // Last: whoever finds it finds the rest.
  reinterpret_cast<std::atomic<std::uint64_t>&>(view.header().magic).store(segment::magic, std::memory_order_release);
}

void initialize_member(const segment::View& view) {
  segment::Header& header = view.header();
  header.layout_version = segment::layout_version;
  header.header_bytes = sizeof(segment::Header);
  header.scale = view.scale;
  header.pid = getpid();
  view.guard().admissible_bytes.store(INT64_MAX, std::memory_order_relaxed);
  view.guard().budget_bytes.store(INT64_MAX, std::memory_order_relaxed);
  header.state.store(segment::State::attached, std::memory_order_relaxed);
}

tree::Young* TreeLink::enroll_young(std::uint32_t session) {
  tree::Control& control = control_page.control;
  const std::uint32_t first = control.next_young.fetch_add(1, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < tree::young_places; ++i) {
    tree::Young& place = control.young[(first + i) % tree::young_places];
    std::int32_t free = 0;
    if (place.pid.load(std::memory_order_relaxed) == 0 &&
        place.pid.compare_exchange_strong(free, tree::Young::taken, std::memory_order_acq_rel)) {
      place.session.store(session, std::memory_order_relaxed);
      place.joined_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
      place.left_nanoseconds.store(0, std::memory_order_relaxed);
      place.peak_bytes.store(0, std::memory_order_relaxed);
      place.pid.store(getpid(), std::memory_order_release);  // pairs with the addon's young()
      return &place;
    }
  }
  return nullptr;
}

void TreeLink::leave_young(tree::Young& place, std::int64_t peak_bytes) {
  place.peak_bytes.store(peak_bytes, std::memory_order_relaxed);
  place.left_nanoseconds.store(system::now_nanoseconds(), std::memory_order_release);  // pairs with the addon's young()
}

void introduce(tree::Member& member, tree::Origin origin, bool has_stacks, const tree::Member* parent) {
  const system::ErrnoKept kept;
  member.left_at_peak.store(-1, std::memory_order_relaxed);
  member.joined_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
  member.parent = getppid();
  member.origin = origin;
  member.has_stacks = has_stacks ? 1 : 0;
  if (parent != nullptr) {
    memcpy(member.command, parent->command, sizeof(member.command));
    member.command_bytes = parent->command_bytes;
    return;
  }
  const int descriptor = static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
  if (descriptor >= 0) {
    const long read = syscall(SYS_read, descriptor, member.command, sizeof(member.command));
    member.command_bytes = read > 0 ? static_cast<std::uint32_t>(read) : 0;
    system::close_descriptor(descriptor);
  }
}

void leave_tree(tree::Member& member) {
  tree::Control& control = control_page.control;
  const bool is_part = tree::is_of_session(control, member);
  const std::int64_t claimed = is_part ? member.claimed.load(std::memory_order_relaxed) : 0;
  const std::int64_t unshared = is_part ? tree::unshare_all(control, member) : 0;
  member.next_claim.store(0, std::memory_order_release);
  const tree::Met met = tree::change_joint(control.joint, unshared - claimed);
  member.claimed.store(0, std::memory_order_release);
  member.left_nanoseconds.store(system::now_nanoseconds(), std::memory_order_relaxed);
  member.left_at_peak.store(met.peak, std::memory_order_release);
}

}  // namespace fil
