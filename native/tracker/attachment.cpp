// Taking over the segment, and whether this process can be profiled at all.
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "../shared/environment.hpp"
#include "checks/checks.hpp"
#include "sampling/rate.hpp"
#include "system.hpp"
#include "thread_stacks.hpp"
#include "tracker.hpp"

namespace fil {
namespace {

/// By which the segment is laid out.
constexpr unsigned long page_bytes = 4096;

}  // namespace

void Tracker::attach(std::uint32_t least_scale) {
  const char* descriptor_text = getenv(environment::segment_descriptor);
  if (descriptor_text == nullptr) {
    return;
  }
  const int descriptor = atoi(descriptor_text);
  if (getauxval(AT_PAGESZ) != page_bytes) {
    return run_untracked("This kernel's pages are not of 4 KiB, as Fil's shared memory needs them.");
  }
  // Nothing of ours is left for the program to see or to pass on.
  if (system::size_of(descriptor) < segment::total_bytes) {
    return run_untracked("The shared memory for profiling is missing or too small: was its descriptor closed?");
  }
  std::uint32_t scale = segment::scale_for(system::address_space_limit());
  scale = scale < least_scale ? least_scale : scale;
  auto* base = static_cast<std::byte*>(system::map_shared(descriptor, segment::bytes_at_scale(scale)));
  while (base == nullptr && scale < segment::largest_scale) {
    base = static_cast<std::byte*>(system::map_shared(descriptor, segment::bytes_at_scale(++scale)));
  }
  if (base != nullptr && getenv(environment::sampling) != nullptr) {
    sampled_view_.scale = scale;
    map_sampled(descriptor);
    if (const char* seed = getenv(environment::sampling_seed); seed != nullptr) {
      sampling::fix_seeds(strtoull(seed, nullptr, 10));
    }
  }
  unsetenv(environment::sampling);
  unsetenv(environment::sampling_seed);
  system::close_descriptor(descriptor);
  if (base == nullptr) {
    return run_untracked(
        "The shared memory for profiling could not be mapped (is the address space limited by ulimit -v?). "
        "Raise the limit to profile this program.");
  }
  const segment::Header& header = *reinterpret_cast<segment::Header*>(base);
  if (header.magic != segment::magic || header.layout_version != segment::layout_version ||
      fails(Failpoint::segment_layout)) {
    system::unreserve(base, segment::bytes_at_scale(scale));
    return run_untracked(
        "The tracker and the program that started it are of different versions of Fil (their shared memory differs). "
        "Reinstall filprofiler; in a checkout, run npm run setup.");
  }
  view_ = segment::View{base, scale};
  view_.header().scale = scale;
  ledger_ = Ledger(view_);
  unsetenv(environment::segment_descriptor);
  guard_.attach(view_);
  view_.header().pid = getpid();
  view_.header().state.store(segment::State::attached, std::memory_order_release);
}

void Tracker::run_untracked(const char* sentence) {
  problem_ = sentence;
  unsetenv(environment::segment_descriptor);
  system::say(sentence, " The program runs without being profiled.");
}

const char* Tracker::why_unfit() {
  if (forked_) {
    return "This process was forked from a profiled one. Only the parent can be profiled.";
  }
  if (problem_ != nullptr) {
    return problem_;
  }
  if (!attached() || role_ != Role::top) {
    // Still there if no Python was found at the start, as in a shell that only starts one.
    return getenv(environment::segment_descriptor) != nullptr ? python::Interpreter::exports_nothing
                                                              : "This process was not started by Fil.";
  }
  if (!python_.found()) {
    if (const char* problem = python_.find()) {
      return problem;
    }
  }
  // Also the check of the layout's first offset; the self-test of filprofiler/_tracker.py checks the others.
  if (const std::byte* running = python_.running_thread();
      running == nullptr || !python_.of_main_interpreter(running)) {
    return "Tracking can only be begun by Python code of the main interpreter.";
  }
  return nullptr;
}

void Tracker::detach_in_child() {
  // The session of a parent that samples is its own.
  link_.resume();
  if (link_.attached()) {
    return go_on_in_child();
  }
  control_page.control.session.store(0, std::memory_order_relaxed);
  joined_.store(0, std::memory_order_relaxed);
  exclusive_.reset();
  if (attached()) {
    forked_ = true;
    forget_other_threads_stacks();
    pass(Mark::detached_in_child);
    guard_.detach();
  }
}

}  // namespace fil
