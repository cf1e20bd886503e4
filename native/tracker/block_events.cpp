// The rare parts of what happens to blocks; block_events.hpp has the rest.
#include "block_events.hpp"

#include "system.hpp"
#include "thread_pools.hpp"

namespace fil {
namespace {

/// Where this thread was created, for threads without Python frames.
struct Inherited {
  std::uint32_t session;
  SiteId site;
};
[[gnu::tls_model("initial-exec")]] thread_local Inherited inherited{0, SiteId::root};

/// When files and reservations are measured anew, beside the calls that map: before a large block, and every so many
/// events.
constexpr std::size_t worth_measuring_bytes = std::size_t{1} << 20;
constexpr std::uint32_t events_between_measuring = 4096;

}  // namespace

void Tracker::inherit(std::uint32_t session, SiteId site) {
  inherited = Inherited{session, site};
}

SiteId Tracker::site_of_creator() {
  if (inherited.session == session_now() && inherited.site != SiteId::root) {
    pass(Mark::stack_inherited);
    return inherited.site;
  }
  return SiteId::no_python_stack;
}

SiteId Tracker::site_of_newcomer(const ExclusiveGuard& guard, const Thread& thread) {
  if (thread.state == nullptr) {
    return site_of_creator();
  }
  if (make_own_call_stack()) {
    return site_of(guard, thread);
  }
  if (call_stacks_ran_out()) {
    tree_.degrade(segment::Degradation::stacks_missing);
  }
  return site_of_creator();
}

SiteId Tracker::current_site(const Nesting&, std::uint32_t session) {
  if (!takes_part(session)) {
    return SiteId::root;
  }
  const Thread thread = calling_thread(Caller::anyone);
  const ExclusiveGuard guard(exclusive_, thread.gil);
  return is_under_way(session) ? site_of(guard, thread) : SiteId::root;
}

void Tracker::not_released(const Nesting& nesting, Caller caller, std::uint32_t session, const void* address,
                           Block block) {
  if (!takes_part(session)) {
    if (is_program_) {
      count_in_program(nesting, session, address, 1);
    }
    return;
  }
  const ExclusiveGuard guard(exclusive_, gil_of_calling_thread(caller));
  if (is_under_way(session) && block.bytes != 0) {
    put(guard, address, static_cast<std::size_t>(block.bytes), block.site);
  }
}

void Tracker::measure_mappings(const ExclusiveGuard& guard, std::size_t bytes) {
  if (young_ != nullptr) {
    grow_up_when_old(guard);
  }
  if (bytes >= worth_measuring_bytes || ++events_ % events_between_measuring == 0) {
    mappings_.measure_now_and_then(guard, ledger_);
  }
}

void Tracker::release_stale(const ExclusiveGuard& guard, Block stale) {
  pass(Mark::stale_block_replaced);
  ledger_.release(guard, stale.site, stale.bytes);
}

void Tracker::look_for_thread_pools() {
  limit_new_thread_pools();
}

/// Finds the site again, without what the thread's last walks left.
void Tracker::audit_stack(const ExclusiveGuard& guard, const Thread& thread, const python::CallStack& stack,
                          SiteId found) {
  static python::CallStack* uncached = nullptr;
  static std::size_t events_until_next = 0;
  if (events_until_next-- != 0 || checks::is_failing() ||
      view_.header().degradations.load(std::memory_order_relaxed) != 0) {
    return;
  }
  events_until_next = 8 + stack.depth() / 4;
  const checks::Quiet quiet;
  if (uncached == nullptr) {
    uncached = static_cast<python::CallStack*>(system::reserve(sizeof(python::CallStack)));
  }
  if (uncached != nullptr) {
    uncached->forget();
    // As without the GIL, so that it leaves no canaries.
    const SiteId truth = uncached->site(guard, Gil::not_held, tree_, python_, thread.state, epoch_);
    invariant([&] { return truth == found; }, "a call stack found by the cache is the one that is there");
  }
}

}  // namespace fil
