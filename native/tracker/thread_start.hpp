// Threads that C code creates while tracking is on: what they allocate is charged to where they were created.
#pragma once

#include <pthread.h>

namespace fil {

int create_thread(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument);

}  // namespace fil
