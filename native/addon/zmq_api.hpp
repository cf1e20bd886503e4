// The part of libzmq's C interface that the forwarder uses, taken at run time from zeromq.js's addon, which contains
// libzmq and exports it: one copy of it in the process, and no header or library to build with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fil::addon::zmq {

// Types and values of libzmq 4.x's stable interface (zmq.h).
struct alignas(void*) Message {
  unsigned char opaque[64];
};
static_assert(sizeof(Message) == 64, "zmq_msg_t");

struct PollItem {
  void* socket;
  int descriptor;
  short events;
  short arrived;
};
static_assert(sizeof(PollItem) == 16, "zmq_pollitem_t");

enum class SocketType : int { pair = 0, subscriber = 2, dealer = 5, router = 6, xpublisher = 9 };

enum class Option : int {
  routing_id = 5,
  subscribe = 6,
  linger = 17,
  reconnect_interval = 18,
  max_message_size = 22,
  send_high_water_mark = 23,
  receive_high_water_mark = 24,
  last_endpoint = 32,
  ipv6 = 42,
  curve_server = 47,
  curve_public_key = 48,
  curve_secret_key = 49,
  router_handover = 56,
};

constexpr int dont_wait = 1;
constexpr int send_more = 2;
constexpr short poll_in = 1;
constexpr int event_handshake_succeeded = 0x1000;

/// Functions by their names in zmq.h, without the prefix.
struct Api {
  void* (*ctx_new)();
  int (*ctx_term)(void* context);
  void* (*socket)(void* context, int type);
  int (*close)(void* socket);
  int (*setsockopt)(void* socket, int option, const void* value, std::size_t length);
  int (*getsockopt)(void* socket, int option, void* value, std::size_t* length);
  int (*bind)(void* socket, const char* endpoint);
  int (*connect)(void* socket, const char* endpoint);
  int (*socket_monitor)(void* socket, const char* endpoint, int events);
  int (*msg_init)(Message* message);
  int (*msg_init_size)(Message* message, std::size_t size);
  int (*msg_recv)(Message* message, void* socket, int flags);
  int (*msg_send)(Message* message, void* socket, int flags);
  int (*msg_close)(Message* message);
  int (*msg_more)(const Message* message);
  void* (*msg_data)(Message* message);
  std::size_t (*msg_size)(const Message* message);
  int (*poll)(PollItem* items, int count, long timeout_milliseconds);
  int (*errno_)();
  const char* (*strerror)(int number);

  /// Why the latest call failed.
  std::string reason() const { return strerror(errno_()); }
};

/// The functions of the library at `path`; throws std::runtime_error if it has none of them.
Api load(const std::string& path);

}  // namespace fil::addon::zmq
