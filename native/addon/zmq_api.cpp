#include "zmq_api.hpp"

#include <dlfcn.h>

#include <stdexcept>

namespace fil::addon::zmq {

Api load(const std::string& path) {
  // Never closed: its threads run until the process ends.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw std::runtime_error(dlerror());
  }
  const auto resolve = [&](auto& function, const char* name) {
    void* const address = dlsym(library, name);
    if (address == nullptr) {
      throw std::runtime_error(path + " does not export " + name);
    }
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  };
  Api api{};
  resolve(api.ctx_new, "zmq_ctx_new");
  resolve(api.ctx_term, "zmq_ctx_term");
  resolve(api.socket, "zmq_socket");
  resolve(api.close, "zmq_close");
  resolve(api.setsockopt, "zmq_setsockopt");
  resolve(api.getsockopt, "zmq_getsockopt");
  resolve(api.bind, "zmq_bind");
  resolve(api.connect, "zmq_connect");
  resolve(api.socket_monitor, "zmq_socket_monitor");
  resolve(api.msg_init, "zmq_msg_init");
  resolve(api.msg_init_size, "zmq_msg_init_size");
  resolve(api.msg_recv, "zmq_msg_recv");
  resolve(api.msg_send, "zmq_msg_send");
  resolve(api.msg_close, "zmq_msg_close");
  resolve(api.msg_more, "zmq_msg_more");
  resolve(api.msg_data, "zmq_msg_data");
  resolve(api.msg_size, "zmq_msg_size");
  resolve(api.poll, "zmq_poll");
  resolve(api.errno_, "zmq_errno");
  resolve(api.strerror, "zmq_strerror");
  return api;
}

}  // namespace fil::addon::zmq
