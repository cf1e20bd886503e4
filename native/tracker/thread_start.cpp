#include "thread_start.hpp"

#include "checks/checks.hpp"
#include "nesting.hpp"
#include "real_functions.hpp"
#include "tracker.hpp"

namespace fil {
namespace {

/// @tparam Result what the thread's function returns.
template <class Result>
struct Start {
  Result (*function)(void*);
  void* argument;
  std::uint32_t session;
  SiteId creator;
};

template <class Result>
Result run(void* pointer) {
  const auto start = *static_cast<Start<Result>*>(pointer);
  {
    const Nesting nesting;
    real.free(pointer);
  }
  Tracker::inherit(start.session, start.creator);
  return start.function(start.argument);
}

/// @param create takes the function that the thread is to run and its argument; 0 if there is a thread then.
template <class Result, class Create>
int create_noting(std::uint32_t session, Result (*function)(void*), void* argument, Create create) {
  // The thread's control block is the C library's; our note is ours.
  const Nesting nesting;
  using Note = Start<Result>;
  auto* start = fails(Failpoint::thread_note) ? nullptr : static_cast<Note*>(real.malloc(sizeof(Note)));
  if (start == nullptr) {
    // Better counted at no call site than no thread at all.
    tracker.creator_lost(nesting);
    return create(function, argument);
  }
  *start = Note{function, argument, session, tracker.current_site(nesting, session)};
  const int error = create(run<Result>, start);
  if (error != 0) {
    real.free(start);
  }
  return error;
}

static_assert(thrd_success == 0);

}  // namespace

int create_thread(std::uint32_t session, pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                  void* argument) {
  return create_noting(session, start, argument, [&](void* (*function)(void*), void* its_argument) {
    return real.pthread_create(thread, attributes, function, its_argument);
  });
}

int create_thread(std::uint32_t session, thrd_t* thread, int (*start)(void*), void* argument) {
  return create_noting(session, start, argument, [&](int (*function)(void*), void* its_argument) {
    return real.thrd_create(thread, function, its_argument);
  });
}

}  // namespace fil
