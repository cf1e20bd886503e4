#include "forwarder.hpp"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace fil::addon {
namespace {

using std::chrono::milliseconds;
using zmq::Option;
using zmq::SocketType;

/// Channels on which clients ask and the process answers.
constexpr std::array dialogues = {Channel::shell, Channel::control, Channel::stdin_};

/// Messages of one socket in a row, so that a flood on one does not hold up the others.
constexpr int burst = 100;

/// Observations are for the case that the process dies, when they are asked for: JavaScript is not woken for each.
constexpr milliseconds tell_after{50};
constexpr std::size_t tell_at_count = 1000;

/// What the process needs to answer a heartbeat or a subscription is a few bytes: whoever sends more is no client.
constexpr std::int64_t longest_small_message = 64 * 1024;

/// Signature, header, parent header, metadata, content: what follows the delimiter before the buffers.
constexpr std::size_t signed_frames = 5;
constexpr std::string_view delimiter = "<IDS|MSG>";
constexpr std::size_t longest_topic = 256;

constexpr char monitor_endpoint[] = "inproc://fil-listening";

constexpr std::size_t index_of(Channel channel) {
  return static_cast<std::size_t>(channel);
}

}  // namespace

Forwarder::Forwarder(zmq::Api api, ForwarderOptions options, std::function<void()> wake)
    : api_(api), options_(std::move(options)), wake_(std::move(wake)) {
  // Large messages leave the heap as they came, or it would stay as large as the largest of them: fixed instead of
  // growing thresholds, and one arena for the threads that handle them (mallopt(3)).
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
  mallopt(M_TRIM_THRESHOLD, 256 * 1024);
  mallopt(M_ARENA_MAX, 2);
  wake_descriptor_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_descriptor_ < 0) {
    throw std::runtime_error(std::strerror(errno));
  }
  context_ = api_.ctx_new();
  if (context_ == nullptr) {
    throw std::runtime_error(api_.reason());
  }
  open_fronts();
  open_backs();
}

Forwarder::~Forwarder() {
  close();
}

void* Forwarder::open(SocketType type) {
  void* const socket = api_.socket(context_, static_cast<int>(type));
  if (socket == nullptr) {
    throw std::runtime_error(api_.reason());
  }
  // No message is ever dropped or held back: with ZeroMQ's default marks a flood of output loses messages.
  set(socket, Option::send_high_water_mark, 0);
  set(socket, Option::receive_high_water_mark, 0);
  return socket;
}

void Forwarder::set(void* socket, Option option, int value) const {
  if (api_.setsockopt(socket, static_cast<int>(option), &value, sizeof value) != 0) {
    throw std::runtime_error(api_.reason());
  }
}

void Forwarder::set(void* socket, Option option, const std::string& value) const {
  if (api_.setsockopt(socket, static_cast<int>(option), value.data(), value.size()) != 0) {
    throw std::runtime_error(api_.reason());
  }
}

void Forwarder::open_fronts() {
  for (std::size_t i = 0; i < channel_count; ++i) {
    const bool publishes = i == index_of(Channel::iopub);
    void* const socket = fronts_[i] = open(publishes ? SocketType::xpublisher : SocketType::router);
    set(socket, Option::linger, static_cast<int>(options_.linger.count()));
    if (!publishes) {
      // A client that connects again under its old identity takes its place.
      set(socket, Option::router_handover, 1);
    }
    if (publishes || i == index_of(Channel::heartbeat)) {
      api_.setsockopt(socket, static_cast<int>(Option::max_message_size), &longest_small_message,
                      sizeof longest_small_message);
    }
    if (options_.curve_public_key && options_.curve_secret_key) {
      set(socket, Option::curve_server, 1);
      set(socket, Option::curve_public_key, *options_.curve_public_key);
      set(socket, Option::curve_secret_key, *options_.curve_secret_key);
    }
  }
}

void Forwarder::open_backs() {
  const int reconnect = static_cast<int>(options_.reconnect_interval.count());
  for (const Channel channel : dialogues) {
    void* const socket = backs_[index_of(channel)] = open(SocketType::dealer);
    set(socket, Option::routing_id, options_.routing_id);
  }
  void* const subscriber = backs_[index_of(Channel::iopub)] = open(SocketType::subscriber);
  set(subscriber, Option::subscribe, std::string());
  for (void* const socket : backs_) {
    if (socket != nullptr) {
      set(socket, Option::linger, 0);
      set(socket, Option::reconnect_interval, reconnect);
    }
  }
  if (api_.socket_monitor(subscriber, monitor_endpoint, zmq::event_handshake_succeeded) != 0) {
    throw std::runtime_error(api_.reason());
  }
  monitor_ = open(SocketType::pair);
  set(monitor_, Option::linger, 0);
  if (api_.connect(monitor_, monitor_endpoint) != 0) {
    throw std::runtime_error(api_.reason());
  }
}

std::string Forwarder::bind(Channel channel, const std::string& endpoint) {
  void* const socket = fronts_[index_of(channel)];
  if (endpoint.find('[') != std::string::npos) {
    set(socket, Option::ipv6, 1);
  }
  if (api_.bind(socket, endpoint.c_str()) != 0) {
    throw std::runtime_error(api_.reason());
  }
  char bound[1024];
  std::size_t length = sizeof bound;
  return api_.getsockopt(socket, static_cast<int>(Option::last_endpoint), bound, &length) == 0 ? bound : endpoint;
}

void Forwarder::start(const std::array<std::string, channel_count>& endpoints) {
  for (std::size_t i = 0; i < channel_count; ++i) {
    if (backs_[i] != nullptr && api_.connect(backs_[i], endpoints[i].c_str()) != 0) {
      throw std::runtime_error(api_.reason());
    }
  }
  // Signals are for the main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "fil-forwarder");
}

void Forwarder::give(Order order) {
  {
    const std::lock_guard lock(mutex_);
    outbox_.push_back(std::move(order));
  }
  eventfd_write(wake_descriptor_, 1);
}

void Forwarder::publish(Frames frames) {
  give(std::move(frames));
}

void Forwarder::follow_cell(std::string request_id, CellDisplayTimes times) {
  give(Follow{CellDisplay(std::move(request_id), times)});
}

void Forwarder::show_in_cell(CellDisplay::Messages messages) {
  give(std::move(messages));
}

void Forwarder::update_in_cell(std::uint32_t serial, Frames frames) {
  give(Update{serial, std::move(frames)});
}

void Forwarder::leave_cell() {
  give(Leave{});
}

std::vector<Observation> Forwarder::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(observations_, {});
}

std::chrono::nanoseconds Forwarder::quiet_for() const {
  return Clock::now() - Clock::time_point(Clock::duration(heard_at_.load(std::memory_order_relaxed)));
}

void Forwarder::close() {
  if (context_ == nullptr) {
    return;
  }
  stopping_.store(true, std::memory_order_relaxed);
  eventfd_write(wake_descriptor_, 1);
  if (thread_.joinable()) {
    thread_.join();
  }
  for (void* const socket : fronts_) {
    api_.close(socket);
  }
  for (void* const socket : {backs_[0], backs_[1], backs_[2], backs_[3], monitor_}) {
    if (socket != nullptr) {
      api_.close(socket);
    }
  }
  while (api_.ctx_term(context_) != 0 && api_.errno_() == EINTR) {
  }
  context_ = nullptr;
  ::close(wake_descriptor_);
}

void Forwarder::run() {
  // Requests wait until we hear what the process publishes, or the output of the first would be lost.
  bool listening = false;
  while (!stopping_.load(std::memory_order_relaxed)) {
    wait(listening);
    eventfd_t ignored;
    eventfd_read(wake_descriptor_, &ignored);
    send_outbox();
    for (const zmq::PollItem& item : items_) {
      if ((item.arrived & zmq::poll_in) == 0 || item.socket == nullptr) {
        continue;
      }
      if (item.socket == monitor_) {
        listening = true;
        while (receive(monitor_)) {
          drop();
        }
      } else if (item.socket == fronts_[index_of(Channel::heartbeat)]) {
        serve_heartbeat();
      } else if (item.socket == fronts_[index_of(Channel::iopub)]) {
        serve_subscriptions();
      } else if (item.socket == backs_[index_of(Channel::iopub)]) {
        serve_publications();
      } else {
        for (std::size_t i = 0; i < dialogues.size(); ++i) {
          if (item.socket == backs_[i]) {
            serve_dialogue(i);
          } else if (item.socket == fronts_[i]) {
            serve_requests(i);
          }
        }
      }
    }
  }
  send_outbox();
}

void Forwarder::wait(bool listening) {
  items_.clear();
  items_.push_back({nullptr, wake_descriptor_, zmq::poll_in, 0});
  const auto add = [&](void* socket) { items_.push_back({socket, 0, zmq::poll_in, 0}); };
  for (void* const socket : backs_) {
    if (socket != nullptr) {
      add(socket);
    }
  }
  add(fronts_[index_of(Channel::iopub)]);
  add(fronts_[index_of(Channel::heartbeat)]);
  if (listening) {
    for (const Channel channel : dialogues) {
      add(fronts_[index_of(channel)]);
    }
  } else {
    add(monitor_);
  }
  long timeout = -1;
  if (tell_at_) {
    const auto left = std::chrono::duration_cast<milliseconds>(*tell_at_ - Clock::now()).count();
    timeout = std::max(0L, static_cast<long>(left));
  }
  const int arrived = api_.poll(items_.data(), static_cast<int>(items_.size()), timeout);
  if (arrived < 0) {
    // Interrupted: nothing is known to have arrived.
    for (zmq::PollItem& item : items_) {
      item.arrived = 0;
    }
  }
  if (tell_at_ && Clock::now() >= *tell_at_) {
    tell_at_.reset();
    wake_();
  }
}

/// Reads a message into `message_`; false if there is none.
bool Forwarder::receive(void* socket) {
  for (;;) {
    zmq::Message part;
    api_.msg_init(&part);
    int result;
    do {
      result = api_.msg_recv(&part, socket, zmq::dont_wait);
    } while (result < 0 && api_.errno_() == EINTR);
    if (result < 0) {
      // In the middle of a message only XPUB says so: it hands on frame by frame what a client sends to it.
      api_.msg_close(&part);
      return !message_.empty();
    }
    message_.push_back(part);
    if (api_.msg_more(&part) == 0) {
      return true;
    }
  }
}

/// Hands `message_` on. What can't be sent has no receiver any more.
void Forwarder::send(void* socket) {
  for (std::size_t i = 0; i < message_.size(); ++i) {
    const int flags = i + 1 < message_.size() ? zmq::dont_wait | zmq::send_more : zmq::dont_wait;
    int result;
    do {
      result = api_.msg_send(&message_[i], socket, flags);
    } while (result < 0 && api_.errno_() == EINTR);
    if (result < 0) {
      break;
    }
  }
  drop();
}

void Forwarder::drop() {
  for (zmq::Message& part : message_) {
    api_.msg_close(&part);
  }
  message_.clear();
}

std::string_view Forwarder::frame(std::size_t index) {
  if (index >= message_.size()) {
    return {};
  }
  zmq::Message& part = message_[index];
  return {static_cast<const char*>(api_.msg_data(&part)), api_.msg_size(&part)};
}

/// Answered here: a process that is busy starting, or holds the GIL, is not dead.
void Forwarder::serve_heartbeat() {
  void* const socket = fronts_[index_of(Channel::heartbeat)];
  for (int i = 0; i < burst && receive(socket); ++i) {
    send(socket);
  }
}

void Forwarder::serve_subscriptions() {
  void* const socket = fronts_[index_of(Channel::iopub)];
  for (int i = 0; i < burst && receive(socket); ++i) {
    if (message_.size() == 1 && !frame(0).empty() && frame(0).front() == 1) {
      observe(Observation::Kind::subscription);
      // The client waits for its welcome.
      tell_at_ = Clock::now();
    }
    drop();
  }
}

void Forwarder::serve_publications() {
  for (int i = 0; i < burst && receive(backs_[index_of(Channel::iopub)]); ++i) {
    heard_at_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    if (is_welcome()) {
      drop();
      continue;
    }
    if (is_observed_topic()) {
      observe(Observation::Kind::publication);
    }
    if (cell_) {
      make_room();
    }
    send(fronts_[index_of(Channel::iopub)]);
  }
}

void Forwarder::serve_dialogue(std::size_t dialogue) {
  for (int i = 0; i < burst && receive(backs_[dialogue]); ++i) {
    heard_at_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    send(fronts_[dialogue]);
  }
}

void Forwarder::serve_requests(std::size_t dialogue) {
  for (int i = 0; i < burst && receive(fronts_[dialogue]); ++i) {
    if (dialogues[dialogue] == Channel::shell) {
      observe(Observation::Kind::request);
    }
    send(backs_[dialogue]);
  }
}

/// The process greets its only subscriber, us; each client is greeted by us. It is the only message without a topic.
bool Forwarder::is_welcome() {
  return frame(0) == delimiter && frame(2).find("\"iopub_welcome\"") != std::string_view::npos;
}

bool Forwarder::is_observed_topic() {
  const std::string_view topic = frame(0);
  return topic.size() <= longest_topic && std::any_of(options_.observed_topics.begin(), options_.observed_topics.end(),
                                                      [&](const std::string& end) { return topic.ends_with(end); });
}

/// Others' comms may send much: their content is not searched.
bool Forwarder::is_of_observed_comm(std::size_t delimiter_index) {
  constexpr std::size_t longest_content = 4096;
  const std::string_view content = frame(delimiter_index + signed_frames);
  return frame(delimiter_index + 2).find("\"comm_") != std::string_view::npos && content.size() <= longest_content &&
         content.find(options_.observed_comm) != std::string_view::npos;
}

/// Copies `message_` up to its buffers. Of requests, those to execute and those of one comm are of interest: others may
/// be large.
void Forwarder::observe(Observation::Kind kind) {
  std::size_t end = message_.size();
  for (std::size_t i = 0; i < message_.size(); ++i) {
    if (frame(i) == delimiter) {
      end = std::min(end, i + 1 + signed_frames);
      if (kind == Observation::Kind::request && frame(i + 2).find("\"execute_request\"") == std::string_view::npos) {
        if (!is_of_observed_comm(i)) {
          return;
        }
        // A reader waits for the answer.
        tell_at_ = Clock::now();
      }
      break;
    }
    if (i + 1 == message_.size() && kind == Observation::Kind::request) {
      return;
    }
  }
  Frames frames;
  frames.reserve(end);
  for (std::size_t i = 0; i < end; ++i) {
    frames.emplace_back(frame(i));
  }
  const std::lock_guard lock(mutex_);
  observations_.push_back({kind, std::move(frames)});
  if (observations_.size() >= tell_at_count) {
    tell_at_ = Clock::now();
  } else if (!tell_at_) {
    tell_at_ = Clock::now() + tell_after;
  }
}

void Forwarder::send_outbox() {
  std::vector<Order> outbox;
  {
    const std::lock_guard lock(mutex_);
    outbox.swap(outbox_);
  }
  for (Order& order : outbox) {
    carry_out(order);
  }
}

void Forwarder::carry_out(Order& order) {
  std::optional<Frames> frames;
  if (Frames* const plain = std::get_if<Frames>(&order)) {
    frames = std::move(*plain);
  } else if (Follow* const follow = std::get_if<Follow>(&order)) {
    cell_ = std::move(follow->cell);
  } else if (!cell_) {
    return;
  } else if (CellDisplay::Messages* const messages = std::get_if<CellDisplay::Messages>(&order)) {
    frames = cell_->show(std::move(*messages), Clock::now());
  } else if (Update* const update = std::get_if<Update>(&order)) {
    if (cell_->shown() == update->serial) {
      frames = std::move(update->frames);
    }
  } else {
    frames = cell_->leave();
    cell_.reset();
  }
  shown_in_cell_.store(cell_ ? cell_->shown() : 0, std::memory_order_relaxed);
  if (frames) {
    send_own(*frames);
  }
}

/// Before the process's message that is under way, what our display in the cell has to say.
void Forwarder::make_room() {
  std::array<std::string_view, 1 + 1 + signed_frames> parts;
  if (message_.size() < parts.size() || frame(0).size() > longest_topic) {
    return;
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i] = frame(i);
  }
  const std::optional<Frames> frames = cell_->before(parts, Clock::now());
  shown_in_cell_.store(cell_->shown(), std::memory_order_relaxed);
  if (frames) {
    std::vector<zmq::Message> under_way;
    under_way.swap(message_);
    send_own(*frames);
    message_.swap(under_way);
  }
}

/// Sends a message of our own on iopub.
void Forwarder::send_own(const Frames& frames) {
  for (const std::string& content : frames) {
    zmq::Message part;
    if (api_.msg_init_size(&part, content.size()) != 0) {
      break;
    }
    std::memcpy(api_.msg_data(&part), content.data(), content.size());
    message_.push_back(part);
  }
  if (message_.size() == frames.size()) {
    send(fronts_[index_of(Channel::iopub)]);
  } else {
    drop();
  }
}

}  // namespace fil::addon
