#include "cell_display.hpp"

#include <algorithm>
#include <utility>

namespace fil::addon {
namespace {

enum Part : std::size_t { topic_part = 0, header_part = 3, parent_part = 4, content_part = 6, part_count };

/// A widget that begins or ends to catch output says so in a message of 200 bytes.
constexpr std::size_t longest_catch = 4096;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The text of a member of a JSON object that holds an id; none if there is no such member.
std::optional<std::string_view> id_of(std::string_view json, std::string_view quoted_name) {
  const std::size_t name = json.find(quoted_name);
  if (name == std::string_view::npos) {
    return std::nullopt;
  }
  const std::size_t open = json.find_first_not_of(": ", name + quoted_name.size());
  if (open == std::string_view::npos || json[open] != '"') {
    return std::nullopt;
  }
  const std::size_t close = json.find('"', open + 1);
  return close == std::string_view::npos ? std::nullopt : std::optional(json.substr(open + 1, close - open - 1));
}

/// Of a stream's content, whose text stands last: whether the text ends within a line.
bool ends_inside_line(std::string_view content) {
  const std::size_t last = content.find_last_not_of("} ");
  return last != std::string_view::npos && !content.substr(0, last + 1).ends_with("\\n\"");
}

}  // namespace

CellOutput::Event CellOutput::observe(std::span<const std::string_view> frames) {
  if (frames.size() < part_count) {
    return Event::none;
  }
  const std::string_view topic = frames[topic_part];
  const std::string_view content = frames[content_part];
  if (topic.starts_with("comm-")) {
    observe_comm(content);
    return Event::none;
  }
  const bool is_text = topic.starts_with("stream.");
  const bool is_display =
      topic.ends_with("display_data") || topic.ends_with("execute_result") || topic.ends_with("error");
  // A request's id is a random one, so its characters tell it.
  if (!(is_text || is_display) || !contains(frames[parent_part], request_id_) || is_caught()) {
    return Event::none;
  }
  if (is_display && contains(frames[header_part], "\"update_display_data\"")) {
    return Event::none;
  }
  if (is_display && contains(frames[header_part], "\"clear_output\"")) {
    is_clear_pending_ = contains(content, "true");
    is_inside_line_ = is_inside_line_ && is_clear_pending_;
    return is_clear_pending_ ? Event::clear_before_next : Event::clear;
  }
  is_clear_pending_ = false;
  is_inside_line_ = is_text && ends_inside_line(content);
  return Event::output;
}

bool CellOutput::is_caught() const {
  return std::any_of(caught_by_.begin(), caught_by_.end(),
                     [&](const auto& caught) { return caught.second == request_id_; });
}

void CellOutput::observe_comm(std::string_view content) {
  if (content.size() > longest_catch) {
    return;
  }
  const auto caught = id_of(content, "\"msg_id\"");
  const auto comm = id_of(content, "\"comm_id\"");
  if (caught && comm) {
    caught_by_[std::string(*comm)] = std::string(*caught);
  }
}

std::optional<Frames> CellDisplay::before(std::span<const std::string_view> frames, Clock::time_point now) {
  const bool was_clear_pending = output_.is_clear_pending();
  switch (output_.observe(frames)) {
    case CellOutput::Event::none:
    case CellOutput::Event::clear_before_next:
      return std::nullopt;
    case CellOutput::Event::clear:
      shown_.reset();
      has_output_ = false;
      not_before_ = now + times_.after_clear;
      return std::nullopt;
    case CellOutput::Event::output:
      break;
  }
  has_output_ = true;
  if (was_clear_pending) {
    shown_.reset();
    not_before_ = now + times_.after_clear;
    return std::nullopt;
  }
  if (!shown_ || !is_alone_) {
    return std::nullopt;
  }
  if (output_.is_inside_line()) {
    // A progress bar, perhaps: shown again below it, the display would be in its way.
    is_alone_ = false;
    return std::nullopt;
  }
  not_before_ = now + times_.after_output;
  Frames clearing = std::move(shown_->clearing);
  shown_.reset();
  return clearing;
}

std::optional<Frames> CellDisplay::show(Messages messages, Clock::time_point now) {
  if (shown_ || now < not_before_ || output_.is_caught() || output_.is_clear_pending() || output_.is_inside_line()) {
    return std::nullopt;
  }
  shown_ = std::move(messages);
  is_alone_ = !has_output_;
  return std::exchange(shown_->display, {});
}

std::optional<Frames> CellDisplay::leave() {
  if (!shown_) {
    return std::nullopt;
  }
  const bool clears = is_alone_ && !output_.is_caught() && !output_.is_clear_pending();
  Frames last = std::move(clears ? shown_->clearing : shown_->emptying);
  shown_.reset();
  return last;
}

}  // namespace fil::addon
