// Threads that C code creates while tracking is on: what they allocate is charged to where they were created.
#pragma once

#include <pthread.h>
#include <threads.h>

#include <cstdint>

namespace fil {

/// @param session session_now() of before.
int create_thread(std::uint32_t session, pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                  void* argument);

/// The same of C11's threads, which don't come by pthread_create.
int create_thread(std::uint32_t session, thrd_t* thread, int (*start)(void*), void* argument);

}  // namespace fil
