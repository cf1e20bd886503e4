// The whole tracker, in this process and under sanitizers, against brute force: random streams of events of threads
// with and without the GIL, whose call stacks a fake Python keeps.
#include "../tracker/block_events.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../shared/environment.hpp"
#include "fake_python.hpp"

namespace fil {
namespace {

using test::FakeCode;
using test::FakeInterpreter;
using test::FakeThread;
using Stack = FakeThread::Stack;
using Held = std::map<Stack, std::int64_t>;

constexpr std::size_t code_count = 12;
constexpr std::int32_t lines_of_code = 6;
constexpr std::size_t slot_count = 400;

std::int64_t counted(std::size_t bytes) {
  return static_cast<std::int64_t>(bytes > 512 ? bytes : bytes == 0 ? 16 : (bytes + 15) / 16 * 16);
}

/// Addresses that nothing else has; of blocks only the address counts.
const void* address_of_slot(std::size_t slot) {
  return reinterpret_cast<const void*>((std::uintptr_t{0x5a} << 36) + (slot << 13));
}

/// Who holds what, and did at the peak: everything is copied at each new one.
class BruteForce {
 public:
  void change(const Stack& stack, std::int64_t delta) {
    held_[stack] += delta;
    total_ += delta;
    if (total_ > peak_) {
      peak_ = total_;
      at_peak_ = held_;
    }
  }
  const Held& held() const { return held_; }
  const Held& at_peak() const { return at_peak_; }
  std::int64_t peak() const { return peak_; }

 private:
  Held held_;
  Held at_peak_;
  std::int64_t total_ = 0;
  std::int64_t peak_ = 0;
};

class TrackerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const int descriptor = memfd_create("segment", 0);
    ASSERT_EQ(ftruncate(descriptor, static_cast<off_t>(segment::total_bytes)), 0);
    base_ =
        static_cast<std::byte*>(mmap(nullptr, segment::total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0));
    ASSERT_NE(static_cast<void*>(base_), MAP_FAILED);
    segment::Header& header = view().header();
    header.magic = segment::magic;
    header.layout_version = segment::layout_version;
    setenv(environment::segment_descriptor, std::to_string(descriptor).c_str(), 1);
    tracker.attach();
    ASSERT_TRUE(tracker.attached());
    for (std::size_t i = 0; i < code_count; ++i) {
      codes_.push_back(std::make_unique<FakeCode>("function_" + std::to_string(i)));
      by_name_[codes_.back()->name()] = codes_.back().get();
    }
  }

  void SetUp() override {
    FakeInterpreter::enter(&main_thread_);
    main_thread_.call(*codes_[0], 1);
  }

  static segment::View view() { return segment::View{base_}; }

  void begin() {
    const std::lock_guard gil(FakeInterpreter::gil());
    FakeInterpreter::set_holds_gil(true);
    const Nesting nesting;
    ASSERT_EQ(tracker.begin(nullptr, 0), nullptr);
    FakeInterpreter::set_holds_gil(false);
  }
  void end() {
    const std::lock_guard gil(FakeInterpreter::gil());
    FakeInterpreter::set_holds_gil(true);
    {
      const Nesting nesting;
      tracker.end();
    }
    FakeInterpreter::set_holds_gil(false);
    EXPECT_EQ(view().header().degradations.load(), 0U);
  }

  static Stack stack_of(std::uint32_t site) {
    Stack stack;
    for (; site >= index_of(SiteId::first_free); site = view().frames()[site].parent) {
      const segment::SiteFrame& frame = view().frames()[site];
      const segment::CodeRecord& code = view().codes()[frame.code];
      const std::string name(view().strings() + code.name_offset, code.name_bytes);
      stack.insert(stack.begin(), FakeThread::Call{by_name_.at(name), frame.line});
    }
    return stack;
  }

  /// What the segment says that every stack holds; without those that hold nothing.
  template <class BytesOf>
  static Held read(BytesOf bytes_of) {
    Held held;
    for (std::uint32_t site = 0; site < view().header().site_count; ++site) {
      if (const std::int64_t bytes = bytes_of(view().counts()[site])) {
        held[stack_of(site)] += bytes;
      }
    }
    return held;
  }
  static Held current() {
    return read([](const segment::SiteCounts& site) { return site.current_bytes.load(); });
  }
  static Held at_peak() {
    return read(
        [](const segment::SiteCounts& site) { return segment::bytes_at_peak(site, view().header().peak_generation); });
  }
  static Held without_zeros(Held held) {
    std::erase_if(held, [](const auto& each) { return each.second == 0; });
    return held;
  }

  static inline std::byte* base_ = nullptr;
  static inline std::vector<std::unique_ptr<FakeCode>> codes_;
  static inline std::map<std::string, const FakeCode*> by_name_;
  FakeThread main_thread_{FakeInterpreter::main()};
};

/// A thread of Python, or of C, that does at random what threads do.
class Actor {
 public:
  Actor(unsigned seed, bool is_python, std::size_t first_slot, std::size_t slots,
        const std::vector<std::unique_ptr<FakeCode>>& codes)
      : random_(seed), is_python_(is_python), first_slot_(first_slot), blocks_(slots), codes_(codes) {
    thread_.call(*codes_[1], 1);
  }

  /// To be called in the actor's own system thread, at first.
  void start() { FakeInterpreter::enter(is_python_ ? &thread_ : nullptr); }

  /// A step with or without the GIL. `model(stack, delta)` learns what has changed.
  template <class Model>
  void step(Model model) {
    const bool holds = is_python_ && below(8) != 0;
    std::unique_lock gil(FakeInterpreter::gil(), std::defer_lock);
    if (holds) {
      gil.lock();
      FakeInterpreter::set_holds_gil(true);
      wander();
    }
    for (std::uint32_t i = below(6); i > 0; --i) {
      event(holds, model);
    }
    FakeInterpreter::set_holds_gil(false);
  }

 private:
  struct Block {
    std::int64_t bytes = 0;
    std::uint32_t session = 0;
    Stack stack;
  };

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  std::int32_t some_line() { return 1 + static_cast<std::int32_t>(below(lines_of_code)); }

  /// Python code runs: calls, returns, goes on to other lines; now and then a deep recursion.
  void wander() {
    for (std::uint32_t i = below(5); i > 0; --i) {
      const std::size_t depth = thread_.stack().size();
      const std::uint32_t what = below(10);
      if (what < 4 && depth < 120) {
        for (std::uint32_t calls = below(40) == 0 ? 90 : 1; calls > 0; --calls) {
          thread_.call(*codes_[below(code_count)], some_line());
        }
      } else if (what < 8 && depth > 1) {
        for (std::uint32_t returns = depth > 80 ? 70 : 1; returns > 0; --returns) {
          thread_.return_from_call();
        }
      } else {
        thread_.move_to(some_line());
      }
    }
  }

  template <class Model>
  void event(bool holds, Model model) {
    const Nesting nesting;
    const std::uint32_t session = session_now();
    const Caller caller = holds && below(2) == 0 ? Caller::python_allocator : Caller::anyone;
    const std::size_t index = below(static_cast<std::uint32_t>(blocks_.size()));
    const void* address = address_of_slot(first_slot_ + index);
    Block& block = blocks_[index];
    if (block.bytes != 0) {
      const Block gone = std::exchange(block, Block{});
      // What was allocated in an earlier session is not known any more.
      const std::int64_t known = session != 0 && gone.session == session ? gone.bytes : 0;
      if (session != 0) {
        EXPECT_EQ(tracker.released(nesting, caller, session, address).bytes, known);
      }
      if (known != 0) {
        model(gone.stack, -known);
      }
    } else {
      const std::size_t bytes = below(3) == 0 ? below(2'000'000) : below(700);
      block = Block{counted(bytes), session, is_python_ ? thread_.stack() : Stack{}};
      if (session != 0) {
        tracker.allocated(nesting, caller, session, address, bytes);
        model(block.stack, block.bytes);
      }
    }
  }

  std::mt19937 random_;
  bool is_python_;
  std::size_t first_slot_;
  std::vector<Block> blocks_;
  const std::vector<std::unique_ptr<FakeCode>>& codes_;
  FakeThread thread_{FakeInterpreter::main()};
};

/// Threads take turns in a random order, so that brute force knows the order of all events and with it the peak.
TEST_F(TrackerTest, RandomThreadsThatTakeTurnsAgreeWithBruteForceInEverySession) {
  constexpr unsigned threads = 4;
  constexpr unsigned sessions = 8;
  std::mutex turn;
  for (unsigned seed = 1; seed <= 3; ++seed) {
    std::vector<std::unique_ptr<Actor>> actors;
    for (unsigned i = 0; i < threads; ++i) {
      actors.push_back(std::make_unique<Actor>(seed * 100 + i, i != 0, i * slot_count, slot_count, codes_));
    }
    for (unsigned session = 0; session < sessions; ++session) {
      BruteForce truth;
      begin();
      std::vector<std::thread> running;
      for (const auto& actor : actors) {
        running.emplace_back([&] {
          actor->start();
          for (int step = 0; step < 250; ++step) {
            const std::lock_guard mine(turn);
            actor->step([&](const Stack& stack, std::int64_t delta) { truth.change(stack, delta); });
          }
        });
      }
      for (std::thread& thread : running) {
        thread.join();
      }
      end();
      ASSERT_EQ(current(), without_zeros(truth.held())) << "seed " << seed << ", session " << session;
      ASSERT_EQ(at_peak(), without_zeros(truth.at_peak())) << "seed " << seed << ", session " << session;
      ASSERT_EQ(view().header().peak_bytes.load(), truth.peak());
    }
  }
}

/// Threads run at once: the order of their events is nobody's to know, but none may be lost, and none charged wrongly.
TEST_F(TrackerTest, RandomThreadsThatRunAtOnceLoseNoEvent) {
  constexpr unsigned threads = 4;
  for (unsigned seed = 1; seed <= 3; ++seed) {
    std::vector<std::unique_ptr<Actor>> actors;
    for (unsigned i = 0; i < threads; ++i) {
      actors.push_back(std::make_unique<Actor>(seed * 1000 + i, i > 1, i * slot_count, slot_count, codes_));
    }
    std::vector<Held> held(threads);
    begin();
    std::vector<std::thread> running;
    for (unsigned i = 0; i < threads; ++i) {
      running.emplace_back([&, i] {
        actors[i]->start();
        for (int step = 0; step < 1500; ++step) {
          actors[i]->step([&](const Stack& stack, std::int64_t delta) { held[i][stack] += delta; });
        }
      });
    }
    for (std::thread& thread : running) {
      thread.join();
    }
    end();
    Held all;
    for (const Held& each : held) {
      for (const auto& [stack, bytes] : each) {
        all[stack] += bytes;
      }
    }
    ASSERT_EQ(current(), without_zeros(all)) << "seed " << seed;
    std::int64_t sum = 0;
    for (const auto& [stack, bytes] : at_peak()) {
      sum += bytes;
    }
    ASSERT_EQ(sum, view().header().peak_bytes.load()) << "seed " << seed;
  }
}

/// Begin and end come at any moment: an event belongs to the session in which it began, or to none.
TEST_F(TrackerTest, SessionsThatBeginAndEndBesideRunningThreadsHaveNoneOfEachOthersEvents) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> running;
  for (unsigned i = 0; i < 3; ++i) {
    running.emplace_back([&, i] {
      FakeThread thread(FakeInterpreter::main());
      thread.call(*codes_[2 + i], 1);
      FakeInterpreter::enter(i == 0 ? nullptr : &thread);
      const void* address = address_of_slot(9000 + i);
      while (!stop.load()) {
        std::unique_lock gil(FakeInterpreter::gil(), std::defer_lock);
        if (i == 1) {
          gil.lock();
          FakeInterpreter::set_holds_gil(true);
        }
        if (const std::uint32_t session = session_now()) {
          const Nesting nesting;
          tracker.allocated(nesting, Caller::anyone, session, address, 100'000);
          tracker.released(nesting, Caller::anyone, session, address);
        }
        FakeInterpreter::set_holds_gil(false);
      }
    });
  }
  for (unsigned session = 0; session < 500; ++session) {
    begin();
    end();
    ASSERT_LE(view().header().peak_bytes.load(), 300'000);
    for (const auto& [stack, bytes] : current()) {
      // A release that came too late for its session; the block is never left in the next one.
      ASSERT_EQ(bytes, 100'000);
    }
  }
  stop = true;
  for (std::thread& thread : running) {
    thread.join();
  }
  begin();
  end();
  EXPECT_EQ(current(), Held{});
  EXPECT_EQ(view().header().peak_bytes.load(), 0);
}

}  // namespace
}  // namespace fil
