#include "rate.hpp"

#include <string.h>
#include <sys/auxv.h>

namespace fil::sampling {
namespace {

constinit std::atomic<std::uint64_t> root_seed{0};
constinit std::atomic<std::uint64_t> threads_seeded{0};

}  // namespace

void fix_seeds(std::uint64_t seed) {
  root_seed.store(seed, std::memory_order_relaxed);
}

void seed_this_thread() {
  std::uint64_t root = root_seed.load(std::memory_order_relaxed);
  if (root == 0) {
    // 16 random bytes that the kernel gives to every program: getauxval(3).
    if (const auto* random = reinterpret_cast<const void*>(getauxval(AT_RANDOM)); random != nullptr) {
      memcpy(&root, random, sizeof(root));
    }
  }
  std::uint64_t number = threads_seeded.fetch_add(1, std::memory_order_relaxed) + 1;
  thread_sampler.seed(root ^ next_random(number));
}

}  // namespace fil::sampling
