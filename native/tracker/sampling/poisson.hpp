// Which bytes are sampled: a Poisson process over the bytes that a thread allocates. Points fall at random, one every
// `mean` bytes on average; a block is sampled if a point falls into it, so with a probability of 1 - exp(-size / mean),
// and then stands for its size divided by that probability. Sums of such weights are unbiased whatever sizes a program
// allocates (Horvitz and Thompson, "A generalization of sampling without replacement", JASA 47, 1952).
//
// The same process as in tcmalloc (tcmalloc/sampler.h, https://github.com/google/tcmalloc) and in Go's heap profiler
// (nextSample in runtime/malloc.go, and scaleHeapSample in runtime/pprof/protomem.go). Unlike there, large blocks are
// not left to chance: from `exact_from_bytes` on each is counted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fil::sampling {

/// Blocks of this size and more are counted each: they hold most of the memory where memory matters.
inline constexpr std::int64_t exact_from_bytes = 32 << 10;

/// Natural logarithm of a positive normal number, to 1e-14: the tracker does without libm.
/// ln(m 2^e) = e ln 2 + 2 atanh((m - 1) / (m + 1)), by the series of atanh with m in [sqrt 1/2, sqrt 2).
constexpr double natural_logarithm(double number) {
  constexpr double ln2 = 0.693147180559945309417;
  constexpr double sqrt2 = 1.41421356237309504880;
  const auto bits = __builtin_bit_cast(std::uint64_t, number);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = __builtin_bit_cast(double, (bits & 0xf'ffff'ffff'ffffU) | (std::uint64_t{1023} << 52));
  if (mantissa >= sqrt2) {
    mantissa /= 2;
    ++exponent;
  }
  const double t = (mantissa - 1) / (mantissa + 1);
  const double square = t * t;
  double sum = 0;
  for (int term = 17; term >= 1; term -= 2) {
    sum = sum * square + 1.0 / term;
  }
  return exponent * ln2 + 2 * t * sum;
}

/// 1 - exp(-x) for x >= 0, to 1e-13 of itself, small x included.
constexpr double one_minus_exp_of_minus(double x) {
  if (x > 40) {
    return 1;
  }
  // Halved until the series converges at once, then undone by f(2x) = f(x) (2 - f(x)).
  int halvings = 0;
  while (x > 0.25) {
    x /= 2;
    ++halvings;
  }
  double term = x;
  double sum = x;
  for (int i = 2; i <= 12; ++i) {
    term *= -x / i;
    sum += term;
  }
  for (; halvings > 0; --halvings) {
    sum *= 2 - sum;
  }
  return sum;
}

/// What happens to a block.
enum class Choice { not_counted, sampled, exact };

/// What a sampled block stands for, in bytes.
/// @param drawn_bytes the size that the chance was drawn on; @param held_bytes the size that counts.
constexpr std::int64_t weight_of(std::size_t drawn_bytes, std::int64_t held_bytes, std::uint64_t mean_bytes) {
  const double chance = one_minus_exp_of_minus(static_cast<double>(drawn_bytes) / static_cast<double>(mean_bytes));
  return static_cast<std::int64_t>(static_cast<double>(held_bytes) / chance + 0.5);
}

/// splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
constexpr std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e37'79b9'7f4a'7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9U;
  z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebU;
  return z ^ (z >> 31);
}

/// One thread's walk along the points. All zeros is a valid state: the first block then draws.
class Sampler {
 public:
  /// To be asked for every block; true if decide() has to be asked as well.
  bool is_due(std::size_t bytes) {
    countdown_ -= static_cast<std::int64_t>(bytes);
    return countdown_ < 0;
  }

  /// For a block of which is_due() was true.
  Choice decide(std::size_t bytes, std::uint64_t mean_bytes) {
    if (bytes >= static_cast<std::size_t>(exact_from_bytes)) {
      countdown_ += static_cast<std::int64_t>(bytes);
      return Choice::exact;
    }
    if (random_ == 0) {
      return Choice::not_counted;  // has no seed: see needs_seed()
    }
    if (mean_ != mean_bytes) [[unlikely]] {
      // The first block, or another setting. The process has no memory, so any place is as good to begin anew.
      mean_ = mean_bytes;
      countdown_ = distance() - static_cast<std::int64_t>(bytes);
      beyond_ = 0;
    }
    const std::int64_t left = countdown_ + beyond_;
    const bool reached = left < 0;
    grant(reached ? distance() : left);
    return reached ? Choice::sampled : Choice::not_counted;
  }

  bool needs_seed() const { return random_ == 0; }
  void seed(std::uint64_t number) {
    std::uint64_t state = number;
    random_ = next_random(state) | 1;
  }
  std::uint64_t random() { return next_random(random_); }

  /// For the time of a call that decide() is to be asked about whatever its size; returns what to give to restore().
  std::int64_t make_due() {
    const std::int64_t before = countdown_;
    countdown_ = INT64_MIN / 2;
    return before;
  }
  void restore(std::int64_t before) { countdown_ = before; }

 private:
  /// Bytes before the next point: a block of n bytes reaches it iff that is less than n. Exponentially distributed and
  /// rounded up, so that P(>= n) is exactly exp(-n / mean).
  std::int64_t distance() {
    // (0, 1]
    const double uniform = static_cast<double>((random() >> 11) + 1) * 0x1p-53;
    return static_cast<std::int64_t>(-natural_logarithm(uniform) * static_cast<double>(mean_));
  }

  /// In steps below `exact_from_bytes`, so that every larger block is due without a comparison of its own.
  void grant(std::int64_t bytes) {
    countdown_ = bytes < exact_from_bytes ? bytes : exact_from_bytes - 1;
    beyond_ = bytes - countdown_;
  }

  std::int64_t countdown_ = 0;
  std::int64_t beyond_ = 0;
  std::uint64_t random_ = 0;
  std::uint64_t mean_ = 0;
};

}  // namespace fil::sampling
