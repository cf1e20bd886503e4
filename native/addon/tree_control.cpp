#include "tree_control.hpp"

#include "../shared/tree_shared.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

namespace fil::addon {
namespace {

/// Others change the sum while it is read; each try takes less than one of their changes.
constexpr int most_tries = 100;

[[noreturn]] void fail(const char* call, int descriptor = -1) {
  const int error = errno;
  if (descriptor >= 0) {
    close(descriptor);
  }
  throw std::system_error(error, std::generic_category(), call);
}

/// What the members of the session have claimed, and what they share; false if a change is under way.
bool sum_of(tree::Control& control, std::span<tree::Member* const> members, std::int64_t& to) {
  to = tree::shared_bytes(control);
  for (const tree::Member* member : members) {
    if (!tree::is_of_session(control, *member)) {
      continue;
    }
    const std::int64_t next = member->next_claim.load(std::memory_order_acquire);
    const std::int64_t claimed = member->claimed.load(std::memory_order_acquire);
    if (next != claimed) {
      return false;
    }
    to += claimed;
  }
  return true;
}

}  // namespace

TreeControl::TreeControl(const std::string& directory, bool exact) {
  const std::string path = directory + "/" + tree::control_name;
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) {
    fail("open");
  }
  // Written, not made longer: every process maps it, and a page without memory would be their SIGBUS.
  const char pages[tree::control_bytes] = {};
  if (write(descriptor, pages, sizeof(pages)) != static_cast<ssize_t>(sizeof(pages))) {
    fail("write", descriptor);
  }
  void* base = mmap(nullptr, tree::control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (base == MAP_FAILED) {
    fail("mmap", descriptor);
  }
  close(descriptor);
  control_ = static_cast<tree::Control*>(base);
  control_->layout_version = segment::layout_version;
  set_exact(exact);
  control_->magic = tree::magic;
}

TreeControl::~TreeControl() {
  munmap(control_, tree::control_bytes);
}

std::int64_t TreeControl::shared_bytes() const {
  return tree::shared_bytes(*control_);
}

void TreeControl::set_exact(bool exact) {
  control_->credit_bytes.store(exact ? 0 : tree::default_credit_bytes, std::memory_order_relaxed);
}

std::uint32_t TreeControl::begin() {
  tree::forget_all(*control_);
  control_->session.store(++sessions_, std::memory_order_release);
  return sessions_;
}

void TreeControl::stop() {
  control_->session.store(0, std::memory_order_release);
}

void TreeControl::reap(tree::Member& member, std::span<tree::Member* const> others) {
  const bool is_part = tree::is_of_session(*control_, member);
  std::int64_t claimed = is_part ? member.claimed.load(std::memory_order_acquire) : 0;
  const std::int64_t next = is_part ? member.next_claim.load(std::memory_order_acquire) : 0;
  if (next != claimed) {
    // It was killed in between: whether its last change came to pass is seen from the sum.
    for (int tries = 0; tries < most_tries; ++tries) {
      const std::int64_t before = tree::joint_current(control_->joint);
      std::int64_t of_others = 0;
      if (sum_of(*control_, others, of_others) && before == tree::joint_current(control_->joint) &&
          (before == of_others + next || before == of_others + claimed)) {
        claimed = before - of_others;
        break;
      }
      std::this_thread::yield();
    }
  }
  const std::int64_t unshared = is_part ? tree::unshare_all(*control_, member) : 0;
  const tree::Met met = tree::change_joint(control_->joint, unshared - claimed);
  member.claimed.store(0, std::memory_order_relaxed);
  member.next_claim.store(0, std::memory_order_relaxed);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  member.left_nanoseconds.store(
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec),
      std::memory_order_relaxed);
  member.left_at_peak.store(met.peak, std::memory_order_release);
}

}  // namespace fil::addon
