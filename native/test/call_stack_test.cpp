// Call stacks of a fake Python, found by the cache: what they are, and how many levels an event has to look at.
#include "../tracker/python/call_stack.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fake_python.hpp"
#include "private_segment.hpp"

namespace fil {
namespace {

using test::FakeCode;
using test::FakeGenerator;
using test::FakeInterpreter;
using test::FakeThread;

class CallStackTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(python_.find(), nullptr);
    ASSERT_TRUE(tree_.prepare());
    tree_.reset(guard_);
    for (int i = 0; i < 8; ++i) {
      codes_.push_back(std::make_unique<FakeCode>("function_" + std::to_string(i)));
    }
  }
  void TearDown() override { EXPECT_EQ(segment_.view().header().degradations, 0U); }

  const FakeCode& code(std::size_t index) const { return *codes_[index % codes_.size()]; }

  /// An allocation: whatever the cache makes of it is the stack that is there.
  void event() {
    ASSERT_EQ(stack_of(stack_.site(guard_, Gil::held, tree_, python_, thread_.state(), 1)), thread_.stack());
    ++events_;
  }

  FakeThread::Stack stack_of(SiteId site) const {
    FakeThread::Stack found;
    const segment::View view = segment_.view();
    for (std::uint32_t at = index_of(site); at >= index_of(SiteId::first_free); at = view.frames()[at].parent) {
      const segment::CodeRecord& record = view.codes()[view.frames()[at].code];
      // The last character is the code's number.
      const char number = view.strings()[record.name_offset + record.name_bytes - 1];
      found.push_back(
          FakeThread::Call{codes_.at(static_cast<std::size_t>(number - '0')).get(), view.frames()[at].line});
    }
    std::reverse(found.begin(), found.end());
    return found;
  }

  void call_to_depth(std::size_t depth) {
    while (thread_.stack().size() < depth) {
      thread_.call(code(thread_.stack().size()), 1);
    }
  }

  /// Levels of the stack that an event took on average in `work`; the checked build counts.
  struct PerEvent {
    double compared;
    double entered;
  };
  template <class Work>
  PerEvent cost_of(Work work) {
    struct Counts {
      unsigned compared;
      unsigned entered;
    };
    const auto count = [] {
      if constexpr (is_checked_build) {
        return Counts{checks::passes(Mark::level_compared), checks::passes(Mark::level_entered)};
      } else {
        return Counts{0, 0};
      }
    };
    const Counts before = count();
    events_ = 0;
    work();
    const Counts after = count();
    return PerEvent{static_cast<double>(after.compared - before.compared) / events_,
                    static_cast<double>(after.entered - before.entered) / events_};
  }

  /// Like `await fibonacci(n - 1) + await fibonacci(n - 2)`: coroutines that die give their places to those to come.
  void fibonacci(int n) {
    if (n <= 1) {
      return;
    }
    for (const std::int32_t line : {3, 4}) {
      thread_.move_to(line);
      // Makes the coroutine.
      event();
      std::unique_ptr<FakeGenerator> coroutine = make_generator(code(7));
      thread_.resume(*coroutine, 1);
      fibonacci(n - (line - 2));
      thread_.return_from_call();
      unused_.push_back(std::move(coroutine));
    }
  }

  std::unique_ptr<FakeGenerator> make_generator(const FakeCode& code) {
    if (unused_.empty()) {
      return std::make_unique<FakeGenerator>(code);
    }
    std::unique_ptr<FakeGenerator> generator = std::move(unused_.back());
    unused_.pop_back();
    generator->code = &code;
    return generator;
  }

  test::PrivateSegment segment_;
  python::Interpreter python_;
  CallTree tree_{segment_.view(), python_};
  Exclusive exclusive_;
  ExclusiveGuard guard_{exclusive_, Gil::not_held};
  std::vector<std::unique_ptr<FakeCode>> codes_;
  FakeThread thread_{FakeInterpreter::main(), 4096};
  python::CallStack stack_{};
  std::vector<std::unique_ptr<FakeGenerator>> unused_;
  unsigned events_ = 0;
};

TEST_F(CallStackTest, CoroutinesThatComeBackAtOtherLevelsJoinTheLevelsThatTheyShare) {
  call_to_depth(40);
  const PerEvent cost = cost_of([&] { fibonacci(16); });
  // The coroutine that was called and the one that called it, whatever places they have.
  EXPECT_LT(cost.entered, 3);
  // Up to 16 coroutines; of the functions below them only the innermost one, at first all.
  EXPECT_LT(cost.compared, 20);
}

TEST_F(CallStackTest, ReturnsThroughManyLevelsAtOnceEnterNoneAnew) {
  call_to_depth(300);
  event();
  const PerEvent cost = cost_of([&] {
    for (int i = 0; i < 250; i += 10) {
      for (int returns = 0; returns < 10; ++returns) {
        thread_.return_from_call();
      }
      event();
    }
  });
  // Few, where two frames share a slot of the table that finds levels.
  EXPECT_LT(cost.entered, 1);
}

TEST_F(CallStackTest, ShortWalksAddUpToACanary) {
  call_to_depth(30);
  const auto short_calls = [&] {
    for (int i = 0; i < 300; ++i) {
      thread_.call(code(7), 1 + i % 2);
      thread_.call(code(6), 1 + i % 3);
      event();
      thread_.return_from_call();
      thread_.return_from_call();
    }
  };
  short_calls();
  EXPECT_LT(cost_of(short_calls).compared, 8);
}

TEST_F(CallStackTest, AFrameThatEachTimeStandsWhereAnotherStoodGetsNoCanaryForLong) {
  // As the frame of a small function that a loop calls: only canaries tell that it is not the same all the time.
  call_to_depth(30);
  const auto calls = [&] {
    for (int i = 0; i < 3000; ++i) {
      thread_.call(code(7), 1);
      event();
      thread_.return_from_call();
    }
  };
  calls();
  EXPECT_LT(cost_of(calls).compared, 8);
}

TEST_F(CallStackTest, DeepRecursionComparesAFewLevelsAnEvent) {
  call_to_depth(2000);
  event();
  const PerEvent cost = cost_of([&] {
    for (int i = 0; i < 5000; ++i) {
      thread_.call(code(7), 1);
      event();
      thread_.return_from_call();
    }
  });
  EXPECT_LT(cost.compared, 20);
}

TEST_F(CallStackTest, RandomCallsReturnsAndGeneratorsAreTheStackThatIsThere) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  call_to_depth(3);
  // Levels that a generator runs at; and those that are suspended, to be resumed from anywhere.
  std::map<std::size_t, std::unique_ptr<FakeGenerator>> running;
  std::vector<std::unique_ptr<FakeGenerator>> suspended;
  const auto leave = [&] {
    const auto generator = running.find(thread_.stack().size() - 1);
    thread_.return_from_call();
    if (generator != running.end()) {
      (below(2) == 0 ? suspended : unused_).push_back(std::move(generator->second));
      running.erase(generator);
    }
  };
  for (int step = 0; step < 25'000; ++step) {
    const std::size_t depth = thread_.stack().size();
    const std::size_t what = below(20);
    const auto line = static_cast<std::int32_t>(1 + below(4));
    if (what < 4 && depth < 300) {
      for (std::size_t calls = below(60) == 0 ? 1 + below(150) : 1; calls > 0; --calls) {
        thread_.call(code(below(codes_.size())), line);
      }
    } else if (what < 8 && depth < 300) {
      const bool resumes = !suspended.empty() && below(2) == 0;
      std::unique_ptr<FakeGenerator> generator;
      if (resumes) {
        std::swap(suspended[below(suspended.size())], suspended.back());
        generator = std::move(suspended.back());
        suspended.pop_back();
      } else {
        generator = make_generator(code(below(codes_.size())));
      }
      thread_.resume(*generator, line);
      running.emplace(depth, std::move(generator));
    } else if (what < 12) {
      for (std::size_t returns = below(60) == 0 ? 1 + below(150) : 1; returns > 0 && thread_.stack().size() > 1;
           --returns) {
        leave();
      }
    } else {
      thread_.move_to(line);
    }
    if (below(2) == 0) {
      event();
    }
  }
}

}  // namespace
}  // namespace fil
