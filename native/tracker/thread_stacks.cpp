#include "thread_stacks.hpp"

#include <pthread.h>

#include <atomic>

#include "checks/checks.hpp"
#include "system.hpp"

namespace fil {
namespace {

struct Slot {
  /// The slot that was made before; slots are never unmapped, so that a presence can be looked at whoever's it was.
  Slot* older;
  Slot* next_free;
  Presence presence;
  python::CallStack stack;
};

/// Set once the thread's slot was given back: destructors of other thread-local data may still allocate.
[[gnu::tls_model("initial-exec")]] thread_local bool ending = false;

pthread_key_t end_of_thread;
bool key_made = false;

std::atomic<bool> ran_out{false};

Slot* free_slots = nullptr;
Slot* newest = nullptr;
std::atomic_flag free_slots_taken = ATOMIC_FLAG_INIT;

template <class Action>
void with_free_slots(Action action) {
  for (unsigned attempt = 0; free_slots_taken.test_and_set(std::memory_order_acquire); ++attempt) {
    system::wait_a_little(attempt);
  }
  action();
  free_slots_taken.clear(std::memory_order_release);
}

void give_back(void* value) {
  auto* slot = static_cast<Slot*>(value);
  own_call_stack = nullptr;
  own_presence = nullptr;
  ending = true;
  with_free_slots([&] {
    // A deep recursion may have touched megabytes.
    slot->stack.release();
    Slot* older = slot->older;
    system::discard(slot, sizeof(Slot));
    slot->older = older;
    slot->next_free = free_slots;
    free_slots = slot;
  });
}

}  // namespace

void prepare_thread_stacks() {
  key_made = !fails(Failpoint::stack_slot_key) && pthread_key_create(&end_of_thread, give_back) == 0;
}

void forget_other_threads_stacks() {
  // Perhaps half changed; a few pages of address space are no loss.
  free_slots = nullptr;
  newest = nullptr;
  free_slots_taken.clear(std::memory_order_relaxed);
}

bool call_stacks_ran_out() {
  return ran_out.load(std::memory_order_relaxed);
}

bool make_own_call_stack() {
  if (ending) {
    return false;
  }
  Slot* slot = nullptr;
  with_free_slots([&] {
    slot = free_slots;
    if (slot != nullptr) {
      pass(Mark::stack_slot_reused);
      free_slots = slot->next_free;
    }
  });
  if (slot == nullptr && !fails(Failpoint::call_stack)) {
    slot = static_cast<Slot*>(system::reserve_for_this_process(sizeof(Slot)));
    if (slot != nullptr) {
      with_free_slots([&] {
        slot->older = newest;
        newest = slot;
      });
    }
  }
  if (slot == nullptr) {
    ran_out.store(true, std::memory_order_relaxed);
    return false;
  }
  own_call_stack = &slot->stack;
  own_presence = &slot->presence;
  if (key_made) {
    // May allocate for keys beyond the first 32; the caller is nested, so that is not counted.
    pthread_setspecific(end_of_thread, slot);
  }
  return true;
}

void visit_stacks_of_threads(void (*visit)(void* context, const void* address, std::size_t bytes), void* context) {
  with_free_slots([&] {
    for (const Slot* slot = newest; slot != nullptr; slot = slot->older) {
      visit(context, slot, sizeof(Slot));
      slot->stack.each_reservation([&](const void* address, std::size_t bytes) { visit(context, address, bytes); });
    }
  });
}

}  // namespace fil
