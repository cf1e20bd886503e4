#include "thread_start.hpp"

#include "checks/checks.hpp"
#include "nesting.hpp"
#include "real_functions.hpp"
#include "tracker.hpp"

namespace fil {
namespace {

struct Start {
  void* (*function)(void*);
  void* argument;
  std::uint32_t session;
  SiteId creator;
};

void* run(void* pointer) {
  const Start start = *static_cast<Start*>(pointer);
  {
    const Nesting nesting;
    real.free(pointer);
  }
  Tracker::inherit(start.session, start.creator);
  return start.function(start.argument);
}

}  // namespace

int create_thread(std::uint32_t session, pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*),
                  void* argument) {
  // The thread's control block is the C library's; our note is ours.
  const Nesting nesting;
  auto* start = fails(Failpoint::thread_note) ? nullptr : static_cast<Start*>(real.malloc(sizeof(Start)));
  if (start == nullptr) {
    // Better counted at no call site than no thread at all.
    tracker.creator_lost(nesting);
    return real.pthread_create(thread, attributes, function, argument);
  }
  *start = Start{function, argument, session, tracker.current_site(nesting, session)};
  const int error = real.pthread_create(thread, attributes, run, start);
  if (error != 0) {
    real.free(start);
  }
  return error;
}

}  // namespace fil
