// The rules of the kernel's own display in a cell, without a kernel.
#include "../addon/cell_display.hpp"

#include <gtest/gtest.h>

#include <array>

namespace fil::addon {
namespace {

using namespace std::chrono_literals;

constexpr const char* request = "5e1fa0c2-the-request";

class CellDisplayTest : public testing::Test {
 protected:
  /// The process publishes something for the cell; returns what the display sends before it.
  std::string says(std::string_view topic, std::string_view type, std::string_view content,
                   std::string_view parent = request) {
    const std::string header = R"({"msg_type": ")" + std::string(type) + R"("})";
    const std::string parent_header = R"({"msg_id": ")" + std::string(parent) + R"("})";
    const std::array<std::string_view, 7> frames = {topic,         "<IDS|MSG>", "signature", header,
                                                    parent_header, "{}",        content};
    return text(display_.before(frames, now_));
  }
  std::string prints(std::string_view escaped) {
    return says("stream.stdout", "stream", R"({"name": "stdout", "text": ")" + std::string(escaped) + R"("})");
  }
  std::string clears(std::string_view wait) {
    return says("display_data", "clear_output", R"({"wait": )" + std::string(wait) + "}");
  }
  /// An Output widget catches what is said for a request; nothing if that is empty.
  void catches(std::string_view caught) {
    says("comm-1", "comm_msg",
         R"({"data": {"method": "update", "state": {"msg_id": ")" + std::string(caught) + R"("}}, "comm_id": "1"})");
  }
  std::string show() { return text(display_.show({++serial_, {"display"}, {"clearing"}, {"emptying"}}, now_)); }
  std::string leave() { return text(display_.leave()); }

  static std::string text(const std::optional<Frames>& frames) { return frames ? frames->at(0) : ""; }

  CellDisplay display_{request, {750ms, 3s}};
  CellDisplay::Clock::time_point now_{100s};
  std::uint32_t serial_ = 0;
};

TEST_F(CellDisplayTest, AloneItGoesWhenSomethingElseComes) {
  EXPECT_EQ(show(), "display");
  EXPECT_EQ(display_.shown(), 1);
  EXPECT_EQ(leave(), "clearing");
  EXPECT_EQ(display_.shown(), 0);
  EXPECT_EQ(leave(), "");
}

TEST_F(CellDisplayTest, ItMakesRoomForTheFirstOutputAndComesAgainBelowIt) {
  show();
  EXPECT_EQ(prints(R"(one\n)"), "clearing");
  EXPECT_EQ(show(), "");
  now_ += 1s;
  EXPECT_EQ(show(), "display");
  EXPECT_EQ(prints(R"(two\n)"), "");
  EXPECT_EQ(leave(), "emptying");
}

TEST_F(CellDisplayTest, ItIsNotPutIntoALineThatIsNotEnded) {
  prints("10 %");
  EXPECT_EQ(show(), "");
  prints(R"(\r100 %\n)");
  EXPECT_EQ(show(), "display");
}

TEST_F(CellDisplayTest, AboveALineThatIsNotEndedItStays) {
  show();
  EXPECT_EQ(prints("10 %"), "");
  EXPECT_EQ(display_.shown(), 1);
  EXPECT_EQ(leave(), "emptying");
}

TEST_F(CellDisplayTest, OtherCellsAndOtherMessagesAreNoOutput) {
  show();
  EXPECT_EQ(says("stream.stdout", "stream", R"({"name": "stdout", "text": "x\n"})", "another"), "");
  EXPECT_EQ(says("kernel.1.status", "status", "{}"), "");
  EXPECT_EQ(says("display_data", "update_display_data", "{}"), "");
  EXPECT_EQ(says("kernel.1.execute_result", "execute_result", "{}"), "clearing");
}

TEST_F(CellDisplayTest, WhatTheCellItselfClearsIsGoneForAWhile) {
  show();
  EXPECT_EQ(clears("false"), "");
  EXPECT_EQ(display_.shown(), 0);
  now_ += 2s;
  EXPECT_EQ(show(), "");
  now_ += 2s;
  EXPECT_EQ(show(), "display");
  EXPECT_EQ(leave(), "clearing");
}

TEST_F(CellDisplayTest, WhileTheCellsOwnClearingIsPendingNothingIsAddedOrCleared) {
  prints(R"(old\n)");
  clears("true");
  EXPECT_EQ(show(), "");
  EXPECT_EQ(prints(R"(new\n)"), "");
  now_ += 4s;
  EXPECT_EQ(show(), "display");
  clears("true");
  EXPECT_EQ(leave(), "emptying");
}

TEST_F(CellDisplayTest, WhatAWidgetCatchesIsNoOutputOfTheCell) {
  catches(request);
  EXPECT_EQ(show(), "");
  catches("");
  EXPECT_EQ(show(), "display");
  catches(request);
  EXPECT_EQ(prints(R"(for the widget\n)"), "");
  EXPECT_EQ(clears("false"), "");
  EXPECT_EQ(display_.shown(), 2);
}

}  // namespace
}  // namespace fil::addon
