#include "segment_reader.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "../shared/tree.hpp"

namespace fil::addon {
namespace {

/// A writer that makes a new peak at every event can starve a reader; after so many tries an approximate copy is better
/// than none.
constexpr int max_tries = 8;

double seconds(std::uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) * 1e-9;
}

std::uint64_t now_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

[[noreturn]] void corrupt(const std::string& what) {
  throw std::runtime_error(
      "The profiler's shared memory is damaged (" + what +
      "): native code in the profiled process has probably written to a wrong address. Run it again.");
}

void check_at_most(const char* name, std::uint64_t value, std::uint64_t limit) {
  if (value > limit) {
    corrupt(std::string(name) + " " + std::to_string(value) + " above its limit " + std::to_string(limit));
  }
}

void check_caller(std::uint32_t site, std::uint32_t caller) {
  if (site > 0 && caller >= site) {
    corrupt("site " + std::to_string(site) + " has the caller " + std::to_string(caller));
  }
}

[[noreturn]] void fail(const char* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

[[noreturn]] void close_and_fail(int descriptor, const char* call) {
  const int error = errno;
  close(descriptor);
  errno = error;
  fail(call);
}

/// Reads a file's bytes `from`..`to` to the same place of a copy that begins at `base`. How many there were.
std::size_t read_part(int descriptor, std::byte* base, std::size_t from, std::size_t to) {
  std::size_t at = from;
  while (at < to) {
    const ssize_t count = pread(descriptor, base + at, to - at, static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail("read");
    }
    if (count == 0) {
      break;
    }
    at += static_cast<std::size_t>(count);
  }
  return at - from;
}

/// Reads the same of a whole file, but for its holes: nearly all of a segment was never written, and a copy of zeros
/// would take as much memory as a copy of figures, in the container of the program that is profiled. False if the file
/// ended before.
bool read_written_parts(int descriptor, std::byte* base, std::size_t bytes) {
  std::size_t at = 0;
  while (at < bytes) {
    const off_t data = lseek(descriptor, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
      // Nothing but a hole from here on.
      return true;
    }
    const off_t hole = data < 0 ? -1 : lseek(descriptor, data, SEEK_HOLE);
    // A file system that can't tell has no holes.
    const std::size_t from = data < 0 ? at : std::min(static_cast<std::size_t>(data), bytes);
    const std::size_t to = hole <= data ? bytes : std::min(static_cast<std::size_t>(hole), bytes);
    if (read_part(descriptor, base, from, to) < to - from) {
      return false;
    }
    at = to;
  }
  return true;
}

}  // namespace

SegmentReader::SegmentReader() : SegmentReader(memfd_create("filprofiler", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {}

SegmentReader::SegmentReader(int descriptor) : descriptor_(descriptor) {
  if (descriptor_ < 0) {
    fail("memfd_create");
  }
  // A process that shrank it would make every access of the others a SIGBUS.
  if (fcntl(descriptor_, F_SETFD, FD_CLOEXEC) != 0 ||
      ftruncate(descriptor_, static_cast<off_t>(segment::total_bytes)) != 0 ||
      fcntl(descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    close_and_fail(descriptor_, "ftruncate");
  }
  map();
  write_header();
}

SegmentReader::SegmentReader(const std::string& path, Open how) : is_left_(how == Open::existing) {
  if (is_left_) {
    copy_file(path);
  } else if (how == Open::member) {
    open_member(path);
  } else {
    create_file(path);
  }
}

void SegmentReader::create_file(const std::string& path) {
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor_ < 0) {
    fail("open");
  }
  // The system takes it back when the last process that has the file open or mapped by this descriptor is gone. Some
  // network file systems have no locks.
  flock(descriptor_, LOCK_EX | LOCK_NB);
  if (const int error = posix_fallocate(descriptor_, 0, static_cast<off_t>(segment::total_bytes)); error != 0) {
    unlink(path.c_str());
    errno = error;
    close_and_fail(descriptor_, "posix_fallocate");
  }
  map();
  write_header();
}

/// A process of this user's has made it, and may be writing.
void SegmentReader::open_member(const std::string& path) {
  descriptor_ = open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) {
    fail("open");
  }
  struct stat status = {};
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
      status.st_size != static_cast<off_t>(segment::total_bytes)) {
    close(descriptor_);
    throw std::runtime_error("it is no segment of a process");
  }
  map();
  try {
    header();
  } catch (...) {
    munmap(view_.base, segment::total_bytes);
    close(descriptor_);
    throw;
  }
}

/// Read, and not mapped: whoever cuts the file off meanwhile would end us with SIGBUS.
void SegmentReader::copy_file(const std::string& path) {
  // A pipe would wait for its writer.
  descriptor_ = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (descriptor_ < 0) {
    fail("open");
  }
  try {
    struct stat status = {};
    if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      throw std::runtime_error("it is no regular file");
    }
    if (flock(descriptor_, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw std::runtime_error("it is in use: its program is still running");
    }
    void* base =
        mmap(nullptr, segment::total_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
      fail("mmap");
    }
    view_ = segment::View{static_cast<std::byte*>(base)};
    const std::size_t got = read_part(descriptor_, view_.base, 0, sizeof(segment::Header));
    // In this order: another version may have another size.
    const segment::Header& found = view_.header();
    if (got < sizeof(segment::Header) || found.magic != segment::magic) {
      throw std::runtime_error("it was not written by Fil, or is damaged at its beginning");
    }
    if (found.layout_version != segment::layout_version) {
      throw std::runtime_error("another version of Fil has written it (layout " + std::to_string(found.layout_version) +
                               "; this one reads layout " + std::to_string(segment::layout_version) + ")");
    }
    if (status.st_size != static_cast<off_t>(segment::total_bytes) ||
        !read_written_parts(descriptor_, view_.base, segment::total_bytes)) {
      throw std::runtime_error("it has " + std::to_string(status.st_size) + " bytes instead of " +
                               std::to_string(segment::total_bytes) + ": it was cut off, or something was added");
    }
  } catch (...) {
    if (view_.base != nullptr) {
      munmap(view_.base, segment::total_bytes);
    }
    close(descriptor_);
    throw;
  }
}

bool is_in_use(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) {
    fail("open");
  }
  if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) {
    close(descriptor);
    return false;
  }
  if (errno != EWOULDBLOCK) {
    close_and_fail(descriptor, "flock");
  }
  close(descriptor);
  return true;
}

void SegmentReader::map() {
  void* base = mmap(nullptr, segment::total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor_, 0);
  if (base == MAP_FAILED) {
    close_and_fail(descriptor_, "mmap");
  }
  view_ = segment::View{static_cast<std::byte*>(base)};
}

void SegmentReader::write_header() {
  segment::initialize(view_);
}

SegmentReader::~SegmentReader() {
  munmap(view_.base, segment::total_bytes);
  close(descriptor_);
}

const segment::Header& SegmentReader::header() const {
  const segment::Header& header = view_.header();
  if (header.magic != segment::magic || header.layout_version != segment::layout_version) {
    corrupt("magic " + std::to_string(header.magic) + ", layout " + std::to_string(header.layout_version));
  }
  return header;
}

/// The clock may be another machine's, or of before a restart: what is known is when somebody last looked.
std::uint64_t SegmentReader::end_of_life() const {
  return std::max(view_.last_reading().at_nanoseconds.load(std::memory_order_acquire),
                  header().began_nanoseconds.load(std::memory_order_relaxed));
}

Snapshot SegmentReader::snapshot(std::int64_t joint_peak) const {
  Snapshot copy{};
  for (int tries = 0; tries < max_tries; ++tries) {
    if (try_snapshot(copy, joint_peak)) {
      copy.consistent = true;
      return copy;
    }
  }
  copy.consistent = false;
  return copy;
}

bool SegmentReader::held_at_joint_peak(std::int64_t joint_peak) const {
  const segment::Header& live = header();
  const tree::Member& member = tree::member_of(view_);
  const std::uint64_t joint_generation = live.joint_generation.load(std::memory_order_acquire);
  if (joint_generation == 0 || member.left_at_peak.load(std::memory_order_acquire) != joint_peak) {
    return false;
  }
  const bool has_changed = member.seen_peak.load(std::memory_order_acquire) == joint_peak;
  const segment::View view = scaled_view();
  const std::uint32_t site_count = live.site_count.load(std::memory_order_acquire);
  check_at_most("site count", site_count, view.most_sites());
  const segment::SiteCounts* counts = view.counts();
  return std::any_of(counts, counts + site_count, [&](const segment::SiteCounts& site) {
    return (has_changed ? segment::bytes_at_joint_peak(site, joint_generation)
                        : site.current_bytes.load(std::memory_order_relaxed)) > 0;
  });
}

/// One copy. False if the ledger reached a new peak or a new session meanwhile, so that rows are of different moments.
bool SegmentReader::try_snapshot(Snapshot& to, std::int64_t joint_peak) const {
  const segment::Header& live = header();
  const std::uint32_t session = live.session.load(std::memory_order_acquire);
  // Pairs with Ledger::change: the saved values of this generation are complete.
  const std::uint64_t generation = live.generation.load(std::memory_order_acquire);
  const std::uint64_t peak_generation = live.peak_generation.load(std::memory_order_acquire);
  const std::uint64_t failure_generation = live.failure_generation.load(std::memory_order_acquire);
  const std::uint64_t joint_generation = live.joint_generation.load(std::memory_order_acquire);
  const tree::Member& member = tree::member_of(view_);
  const std::int64_t left_at_peak = member.left_at_peak.load(std::memory_order_acquire);
  const bool in_tree = joint_peak >= 0 && joint_generation != 0;
  // Whoever left before the joint peak has no part in it; whoever had no event since it was made holds what it held.
  const bool had_left = left_at_peak >= 0 && left_at_peak != joint_peak;
  const bool has_changed = member.seen_peak.load(std::memory_order_acquire) == joint_peak;
  const std::uint32_t site_count = live.site_count.load(std::memory_order_acquire);
  const std::uint32_t code_count = live.code_count.load(std::memory_order_acquire);
  const std::uint32_t string_bytes = live.string_bytes.load(std::memory_order_acquire);
  const segment::View view = scaled_view();
  check_at_most("site count", site_count, view.most_sites());
  check_at_most("code count", code_count, view.most_codes());
  check_at_most("string bytes", string_bytes, view.most_string_bytes());

  to.state = live.state.load(std::memory_order_acquire);
  to.session = session;
  to.pid = live.pid;
  to.python_version_hex = live.python_version_hex;
  to.own_bytes = live.own_bytes.load(std::memory_order_relaxed);
  to.most_untouched_bytes = live.most_untouched_bytes.load(std::memory_order_relaxed);
  to.degradations = live.degradations.load(std::memory_order_relaxed);
  const std::uint64_t ended = live.ended_nanoseconds.load(std::memory_order_relaxed);
  to.began_seconds = seconds(live.began_nanoseconds.load(std::memory_order_relaxed));
  to.ended_seconds = seconds(ended != 0 ? ended : is_left_ ? end_of_life() : now_nanoseconds());

  const segment::Failure& failure = view_.failure();
  to.failure = {failure.count.load(std::memory_order_acquire),  // pairs with Tracker::failed
                failure.bytes.load(std::memory_order_relaxed),
                failure.site.load(std::memory_order_relaxed),
                failure.thread.load(std::memory_order_relaxed),
                seconds(failure.at_nanoseconds.load(std::memory_order_relaxed)),
                failure.refused.load(std::memory_order_relaxed) != 0};
  if (to.failure.count > 0) {
    check_at_most("site of a failed allocation", to.failure.site, site_count - 1);
  }

  to.parent.resize(site_count);
  to.code.resize(site_count);
  to.line.resize(site_count);
  to.peak_site_bytes.resize(site_count);
  to.current_site_bytes.resize(site_count);
  to.failure_site_bytes.resize(to.failure.count > 0 ? site_count : 0);
  to.joint_site_bytes.assign(in_tree ? site_count : 0, 0);
  const segment::Sampling& sampling = view_.sampling();
  to.sampling_mean_bytes = sampling.mean_bytes.load(std::memory_order_acquire);
  to.exact_from_bytes = sampling.exact_from_bytes.load(std::memory_order_relaxed);
  const bool is_sampled = to.sampling_mean_bytes != 0;
  to.peak_sampled_site_bytes.resize(is_sampled ? site_count : 0);
  const segment::SampledView sampled = sampled_view();
  std::uint64_t finder_generations[segment::sampled_halves];
  for (std::size_t i = 0; i < segment::sampled_halves; ++i) {
    finder_generations[i] = sampling.finders[i].generation.load(std::memory_order_acquire);
  }
  const segment::SiteFrame* frames = view.frames();
  const segment::SiteCounts* counts = view.counts();
  // From the sums, not from the header, which can lag by the event that a killed process was in.
  std::int64_t peak = 0;
  std::int64_t current = 0;
  to.current_exact_bytes = 0;
  for (std::uint32_t site = 0; site < site_count; ++site) {
    const segment::SiteFrame frame = frames[site];
    check_caller(site, frame.parent);
    if (frame.code != index_of(CodeId::none) && frame.code >= code_count) {
      corrupt("site " + std::to_string(site) + " has the code " + std::to_string(frame.code) + " of " +
              std::to_string(code_count));
    }
    std::int64_t at_peak = segment::bytes_at_peak(counts[site], peak_generation);
    if (is_sampled) {
      // The mean of what the two finders tell; each has read half of the samples, so they stand for twice as much.
      const auto first = segment::sampled_at_peak(sampled.counts(0)[site], finder_generations[0]);
      const auto second = segment::sampled_at_peak(sampled.counts(1)[site], finder_generations[1]);
      const std::int64_t samples = first.sampled_bytes + second.sampled_bytes;
      at_peak = (first.exact_bytes + second.exact_bytes) / 2 + samples;
      to.peak_sampled_site_bytes[site] = static_cast<double>(samples);
      to.current_exact_bytes += sampled.counts(0)[site].exact_bytes.load(std::memory_order_relaxed);
    }
    const std::int64_t now = counts[site].current_bytes.load(std::memory_order_relaxed);
    if (at_peak < 0 || now < 0) {
      corrupt("site " + std::to_string(site) + " holds " + std::to_string(at_peak < 0 ? at_peak : now) + " bytes");
    }
    if (to.failure.count > 0) {
      to.failure_site_bytes[site] =
          static_cast<double>(std::max<std::int64_t>(0, segment::bytes_at_failure(counts[site], failure_generation)));
    }
    if (in_tree && !had_left) {
      const std::int64_t jointly = has_changed ? segment::bytes_at_joint_peak(counts[site], joint_generation) : now;
      to.joint_site_bytes[site] = static_cast<double>(std::max<std::int64_t>(0, jointly));
    }
    peak += at_peak;
    current += now;
    to.parent[site] = frame.parent;
    to.code[site] = frame.code;
    to.line[site] = frame.line;
    to.peak_site_bytes[site] = static_cast<double>(at_peak);
    to.current_site_bytes[site] = static_cast<double>(now);
  }
  to.peak_bytes = peak;
  to.current_bytes = current;
  to.codes = copy_codes(view, 0, code_count, string_bytes);
  std::atomic_thread_fence(std::memory_order_acquire);
  for (std::size_t i = 0; i < segment::sampled_halves; ++i) {
    if (is_sampled && sampling.finders[i].generation.load(std::memory_order_relaxed) != finder_generations[i]) {
      return false;
    }
  }
  return (is_sampled || live.generation.load(std::memory_order_relaxed) == generation) &&
         live.session.load(std::memory_order_relaxed) == session &&
         live.site_count.load(std::memory_order_relaxed) == site_count;
}

segment::SampledView SegmentReader::sampled_view() const {
  return segment::SampledView{view_.base + segment::sampled_offset, scaled_view().scale};
}

SegmentReader::Points SegmentReader::points() const {
  const segment::Recording& recording = sampled_view().recording();
  Points to{recording.seconds_between_points.load(std::memory_order_relaxed), {}};
  const std::uint32_t count = recording.point_count.load(std::memory_order_acquire);
  check_at_most("point count", count, segment::Recording::most_points);
  for (std::uint32_t i = 0; i < count; ++i) {
    to.bytes.push_back(static_cast<double>(recording.points[i].load(std::memory_order_relaxed)));
  }
  return to;
}

/// The tables as the writer lays them out.
segment::View SegmentReader::scaled_view() const {
  const std::uint32_t scale = view_.header().scale;
  check_at_most("scale", scale, segment::largest_scale);
  return segment::View{view_.base, scale};
}

std::uint32_t SegmentReader::site_count() const {
  const std::uint32_t count = header().site_count.load(std::memory_order_acquire);
  check_at_most("site count", count, scaled_view().most_sites());
  return count;
}

std::uint32_t SegmentReader::caller_of(std::uint32_t site) const {
  const std::uint32_t caller = scaled_view().frames()[site].parent;
  check_caller(site, caller);
  return caller;
}

Codes SegmentReader::codes(std::uint32_t from) const {
  const segment::Header& live = header();
  const std::uint32_t code_count = live.code_count.load(std::memory_order_acquire);
  const std::uint32_t string_bytes = live.string_bytes.load(std::memory_order_acquire);
  const segment::View view = scaled_view();
  check_at_most("code count", code_count, view.most_codes());
  check_at_most("string bytes", string_bytes, view.most_string_bytes());
  return copy_codes(view, from, code_count, string_bytes);
}

Codes SegmentReader::copy_codes(const segment::View& view, std::uint32_t from, std::uint32_t code_count,
                                std::uint32_t string_bytes) {
  Codes to;
  const auto text = [&](std::uint32_t offset, std::uint32_t bytes) {
    if (offset > string_bytes || bytes > string_bytes - offset) {
      corrupt("a name of " + std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of " +
              std::to_string(string_bytes));
    }
    return std::string(view.strings() + offset, bytes);
  };
  for (std::uint32_t code = from; code < code_count; ++code) {
    const segment::CodeRecord record = view.codes()[code];
    to.filename.push_back(text(record.filename_offset, record.filename_bytes));
    to.qualified_name.push_back(text(record.name_offset, record.name_bytes));
    to.first_line.push_back(record.first_line);
    to.kind.push_back(record.kind);
  }
  return to;
}

}  // namespace fil::addon
