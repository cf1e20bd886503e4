#include "checks.hpp"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

#include "audit.hpp"

// Nothing here may allocate: failpoints stand on the way of the first malloc.
namespace fil::checks {
namespace {

constexpr const char* failpoint_names[] = {
#define FIL_FAILPOINT(name) #name,
#include "failpoints.def"
#undef FIL_FAILPOINT
};
constexpr std::size_t failpoint_count = sizeof(failpoint_names) / sizeof(failpoint_names[0]);

constexpr const char* mark_names[] = {
#define FIL_MARK(name) #name,
#include "marks.def"
#undef FIL_MARK
};
constexpr std::size_t mark_count = sizeof(mark_names) / sizeof(mark_names[0]);

/// How often a failpoint is passed before it fails.
struct Armed {
  bool armed;
  unsigned value;
  std::atomic<int> passes_left;
  std::atomic<bool> has_failed;
};

Armed armed[failpoint_count];
std::atomic<unsigned> mark_passes[mark_count];
bool configured = false;
bool any_armed = false;
[[gnu::tls_model("initial-exec")]] thread_local unsigned quiet_depth = 0;

bool is_name(const char* name, const char* text, std::size_t length) {
  return strlen(name) == length && strncmp(name, text, length) == 0;
}

/// Once, in the process's first steps, when there is one thread.
void configure() {
  configured = true;
  const char* text = getenv("FIL_FAILPOINTS");
  while (text != nullptr && *text != '\0') {
    const std::size_t length = strcspn(text, "=:,");
    bool known = false;
    for (std::size_t i = 0; i < failpoint_count; ++i) {
      if (is_name(failpoint_names[i], text, length)) {
        known = true;
        armed[i].armed = true;
        any_armed = true;
        armed[i].passes_left = text[length] == '=' ? atoi(text + length + 1) - 1 : 0;
        armed[i].value = text[length] == ':' ? static_cast<unsigned>(atoi(text + length + 1)) : 0;
      }
    }
    if (!known) {
      violated("FIL_FAILPOINTS names failpoints of failpoints.def");
    }
    const char* comma = strchr(text, ',');
    text = comma == nullptr ? nullptr : comma + 1;
  }
}

/// A line in the file of marks; whole, as it is one write in append mode.
void note(const char* kind, const char* name) {
  const char* file = getenv("FIL_MARKS_FILE");
  if (file == nullptr) {
    return;
  }
  const int error = errno;
  const int descriptor = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor >= 0) {
    const iovec parts[] = {
        {const_cast<char*>(kind), strlen(kind)}, {const_cast<char*>(name), strlen(name)}, {const_cast<char*>("\n"), 1}};
    (void)!writev(descriptor, parts, 3);
    close(descriptor);
  }
  errno = error;
}

}  // namespace

bool fails(Failpoint point) {
  if (!configured) {
    configure();
  }
  Armed& each = armed[static_cast<std::size_t>(point)];
  if (quiet_depth != 0) {
    return false;
  }
  if (!each.armed || each.passes_left.fetch_sub(1, std::memory_order_relaxed) > 0) {
    return false;
  }
  each.passes_left = 0;
  if (!each.has_failed.exchange(true)) {
    note("failed ", failpoint_names[static_cast<std::size_t>(point)]);
  }
  return true;
}

void arm(Failpoint point, bool on) {
  armed[static_cast<std::size_t>(point)].armed = on;
  any_armed = on;
}

unsigned value_of(Failpoint point) {
  return armed[static_cast<std::size_t>(point)].value;
}

bool is_failing() {
  return any_armed;
}

Quiet::Quiet() {
  ++quiet_depth;
}
Quiet::~Quiet() {
  --quiet_depth;
}

void pass(Mark mark) {
  if (quiet_depth != 0) {
    return;
  }
  const auto index = static_cast<std::size_t>(mark);
  if (mark_passes[index].fetch_add(1, std::memory_order_relaxed) == 0) {
    note("", mark_names[index]);
  }
}

unsigned passes(Mark mark) {
  return mark_passes[static_cast<std::size_t>(mark)].load(std::memory_order_relaxed);
}

void violated(const char* sentence) {
  const char prefix[] = "=fil-profile= This does not hold: ";
  const iovec parts[] = {{const_cast<char*>(prefix), sizeof(prefix) - 1},
                         {const_cast<char*>(sentence), strlen(sentence)},
                         {const_cast<char*>("\n"), 1}};
  (void)!writev(STDERR_FILENO, parts, 3);
  abort();
}

}  // namespace fil::checks
