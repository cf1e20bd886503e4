// The edge to Node: what index.d.ts promises, in N-API's terms.
#include <napi.h>

#include <cstring>
#include <exception>
#include <memory>

#include "../shared/environment.hpp"
#include "../shared/tree.hpp"
#include "elf.hpp"
#include "forwarder_edge.hpp"
#include "memory_watch.hpp"
#include "peak_lines.hpp"
#include "resident.hpp"
#include "segment_reader.hpp"
#include "snapshot_js.hpp"
#include "supervisor_edge.hpp"
#include "tree_edge.hpp"

namespace fil::addon {
namespace {

/// Runs `body`, turning C++ exceptions into JavaScript's.
template <class Body>
Napi::Value guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

template <class Array, class Element>
Array typed_array(Napi::Env env, const std::vector<Element>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) {
    std::memcpy(array.Data(), values.data(), values.size() * sizeof(Element));
  }
  return array;
}

Napi::Array strings(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    array.Set(static_cast<std::uint32_t>(i), Napi::String::New(env, values[i]));
  }
  return array;
}

const char* name_of(segment::State state) {
  switch (state) {
    case segment::State::fresh:
      return "fresh";
    case segment::State::attached:
      return "attached";
    case segment::State::tracking:
      return "tracking";
  }
  throw std::runtime_error("The profiler's shared memory is damaged (state " +
                           std::to_string(static_cast<std::uint32_t>(state)) + ").");
}

const char* name_of(segment::CodeKind kind) {
  switch (kind) {
    case segment::CodeKind::python:
      return "python";
    case segment::CodeKind::mapped_file:
      return "mapped-file";
    case segment::CodeKind::shared_memory:
      return "shared-memory";
  }
  throw std::runtime_error("The profiler's shared memory is damaged (code kind " +
                           std::to_string(static_cast<std::uint32_t>(kind)) + ").");
}

Napi::Array kinds(Napi::Env env, const std::vector<segment::CodeKind>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    array.Set(static_cast<std::uint32_t>(i), name_of(values[i]));
  }
  return array;
}

Napi::Object codes_js(Napi::Env env, const Codes& codes) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("filename", strings(env, codes.filename));
  result.Set("qualifiedName", strings(env, codes.qualified_name));
  result.Set("firstLine", typed_array<Napi::Int32Array>(env, codes.first_line));
  result.Set("kind", kinds(env, codes.kind));
  return result;
}

Napi::Array degradations(Napi::Env env, std::uint32_t bits) {
  struct Named {
    segment::Degradation bit;
    const char* name;
  };
  constexpr Named all[] = {
      {segment::Degradation::call_sites_full, "call-sites-full"},
      {segment::Degradation::stacks_truncated, "stacks-truncated"},
      {segment::Degradation::allocator_replaced, "allocator-replaced"},
      {segment::Degradation::tracker_memory_exhausted, "tracker-memory-exhausted"},
      {segment::Degradation::stacks_missing, "stacks-missing"},
      {segment::Degradation::recursion_folded, "recursion-folded"},
      {segment::Degradation::small_objects_missing, "small-objects-missing"},
  };
  Napi::Array names = Napi::Array::New(env);
  for (const Named& each : all) {
    if ((bits & static_cast<std::uint32_t>(each.bit)) != 0) {
      names.Set(names.Length(), each.name);
    }
  }
  return names;
}

Napi::Value sampling_of(Napi::Env env, const Snapshot& copy) {
  if (copy.sampling_mean_bytes == 0) {
    return env.Null();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("meanBytes", static_cast<double>(copy.sampling_mean_bytes));
  result.Set("exactFromBytes", static_cast<double>(copy.exact_from_bytes));
  result.Set("peakSiteBytes", typed_array<Napi::Float64Array>(env, copy.peak_sampled_site_bytes));
  result.Set("currentExactBytes", static_cast<double>(copy.current_exact_bytes));
  return result;
}

Napi::Value failure_of(Napi::Env env, const Snapshot& copy) {
  if (copy.failure.count == 0) {
    return env.Null();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("count", static_cast<double>(copy.failure.count));
  result.Set("bytes", static_cast<double>(copy.failure.bytes));
  result.Set("site", copy.failure.site);
  result.Set("thread", copy.failure.thread);
  result.Set("atSeconds", copy.failure.at_seconds);
  result.Set("refused", copy.failure.refused);
  return result;
}

/// PY_VERSION_HEX as people write it: 0x030b07f0 is 3.11.7.
std::string version_text(std::uint32_t hex) {
  if (hex == 0) {
    return {};
  }
  return std::to_string(hex >> 24) + "." + std::to_string((hex >> 16) & 0xffU) + "." +
         std::to_string((hex >> 8) & 0xffU);
}

}  // namespace

Napi::Object snapshot_js(Napi::Env env, const SegmentReader& reader, std::int64_t joint_peak) {
  const Snapshot copy = reader.snapshot(joint_peak);
  Napi::Object result = Napi::Object::New(env);
  result.Set("state", name_of(copy.state));
  result.Set("session", copy.session);
  result.Set("currentBytes", static_cast<double>(copy.current_bytes));
  result.Set("peakBytes", static_cast<double>(copy.peak_bytes));
  result.Set("siteCount", static_cast<double>(copy.parent.size()));
  result.Set("programBegan", reader.header().program_began.load(std::memory_order_relaxed) != 0);
  result.Set("uncaughtMemoryError", reader.view().failure().uncaught_memory_error.load(std::memory_order_acquire) != 0);
  result.Set("pid", copy.pid);
  result.Set("pythonVersion", version_text(copy.python_version_hex));
  result.Set("beganAtSeconds", copy.began_seconds);
  result.Set("endedAtSeconds", copy.ended_seconds);
  result.Set("parent", typed_array<Napi::Uint32Array>(env, copy.parent));
  result.Set("code", typed_array<Napi::Uint32Array>(env, copy.code));
  result.Set("line", typed_array<Napi::Int32Array>(env, copy.line));
  result.Set("peakSiteBytes", typed_array<Napi::Float64Array>(env, copy.peak_site_bytes));
  result.Set("currentSiteBytes", typed_array<Napi::Float64Array>(env, copy.current_site_bytes));
  result.Set("failureSiteBytes", typed_array<Napi::Float64Array>(env, copy.failure_site_bytes));
  result.Set("jointSiteBytes", typed_array<Napi::Float64Array>(env, copy.joint_site_bytes));
  result.Set("failure", failure_of(env, copy));
  result.Set("sampling", sampling_of(env, copy));
  result.Set("codes", codes_js(env, copy.codes));
  result.Set("degradations", degradations(env, copy.degradations));
  result.Set("ownBytes", static_cast<double>(copy.own_bytes));
  result.Set("mostUntouchedBytes", static_cast<double>(copy.most_untouched_bytes));
  result.Set("consistent", copy.consistent);
  return result;
}

namespace {

class Segment : public Napi::ObjectWrap<Segment> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Segment",
        {InstanceAccessor<&Segment::descriptor>("descriptor"), InstanceMethod<&Segment::counters>("counters"),
         InstanceMethod<&Segment::snapshot>("snapshot"), InstanceMethod<&Segment::codes>("codes"),
         InstanceMethod<&Segment::peak_lines>("peakLines"), InstanceMethod<&Segment::points>("points"),
         InstanceMethod<&Segment::set_budget>("setBudget"), InstanceMethod<&Segment::watch_memory>("watchMemory"),
         InstanceMethod<&Segment::last_reading>("lastReading"), InstanceMethod<&Segment::close>("close")});
  }

  explicit Segment(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    guarded(info.Env(), [&] {
      if (info[0].IsString()) {
        const bool existing = info[1].ToBoolean();
        reader_ =
            std::make_shared<SegmentReader>(info[0].As<Napi::String>().Utf8Value(),
                                            existing ? SegmentReader::Open::existing : SegmentReader::Open::create);
      } else if (info[0].IsNumber()) {
        reader_ = std::make_shared<SegmentReader>(info[0].As<Napi::Number>().Int32Value());
      } else {
        reader_ = std::make_shared<SegmentReader>();
      }
      return info.Env().Undefined();
    });
  }

 private:
  const SegmentReader& reader(Napi::Env env) const {
    if (reader_ == nullptr) {
      throw Napi::Error::New(env, "This segment was closed.");
    }
    return *reader_;
  }

  bool uncaught_memory_error(Napi::Env env) const {
    return reader(env).view().failure().uncaught_memory_error.load(std::memory_order_acquire) != 0;
  }

  Napi::Value descriptor(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), reader(info.Env()).descriptor());
  }

  Napi::Value counters(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] {
      const segment::Header& header = reader(env).header();
      Napi::Object result = Napi::Object::New(env);
      result.Set("state", name_of(header.state.load(std::memory_order_acquire)));
      result.Set("session", header.session.load(std::memory_order_relaxed));
      result.Set("currentBytes", static_cast<double>(header.current_bytes.load(std::memory_order_relaxed)));
      result.Set("peakBytes", static_cast<double>(header.peak_bytes.load(std::memory_order_relaxed)));
      const tree::Member& member = tree::member_of(reader(env).view());
      result.Set("sharedBytes", static_cast<double>(member.shared_bytes.load(std::memory_order_relaxed)));
      result.Set("siteCount", header.site_count.load(std::memory_order_relaxed));
      result.Set("programBegan", header.program_began.load(std::memory_order_relaxed) != 0);
      result.Set("uncaughtMemoryError", uncaught_memory_error(env));
      return result;
    });
  }

  Napi::Value snapshot(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] {
      return snapshot_js(env, reader(env), info[0].IsNumber() ? info[0].As<Napi::Number>().Int64Value() : -1);
    });
  }

  Napi::Value codes(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] { return codes_js(env, reader(env).codes(info[0].As<Napi::Number>().Uint32Value())); });
  }

  Napi::Value points(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] {
      const SegmentReader::Points points = reader(env).points();
      Napi::Object result = Napi::Object::New(env);
      result.Set("secondsApart", points.seconds);
      result.Set("bytes", typed_array<Napi::Float64Array>(env, points.bytes));
      return result;
    });
  }

  Napi::Value peak_lines(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] {
      const auto is_own = info[0].As<Napi::Uint8Array>();
      const PeakLines lines = addon::peak_lines(reader(env), std::span(is_own.Data(), is_own.ElementLength()),
                                                info[1].As<Napi::Number>().Uint32Value());
      Napi::Object result = Napi::Object::New(env);
      result.Set("code", typed_array<Napi::Uint32Array>(env, lines.code));
      result.Set("line", typed_array<Napi::Int32Array>(env, lines.line));
      result.Set("bytes", typed_array<Napi::Float64Array>(env, lines.bytes));
      return result;
    });
  }

  Napi::Value set_budget(const Napi::CallbackInfo& info) {
    const std::int64_t bytes = info[0].IsNumber() ? info[0].As<Napi::Number>().Int64Value() : INT64_MAX;
    reader(info.Env()).view().guard().budget_bytes.store(bytes, std::memory_order_relaxed);
    return info.Env().Undefined();
  }

  Napi::Value watch_memory(const Napi::CallbackInfo& info) {
    reader(info.Env());
    return guarded(info.Env(), [&] { return new_memory_watch(info, reader_); });
  }

  Napi::Value last_reading(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] { return addon::last_reading(env, reader(env)); });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    reader_.reset();
    return info.Env().Undefined();
  }

  std::shared_ptr<const SegmentReader> reader_;
};

Napi::Value why_not_preloadable_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string reason = why_not_preloadable(info[0].ToString().Utf8Value());
    return reason.empty() ? env.Null() : Napi::Value(Napi::String::New(env, reason));
  });
}

Napi::Value why_not_preloaded_into_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string reason = why_not_preloaded_into(info[0].ToString().Utf8Value());
    return reason.empty() ? env.Null() : Napi::Value(Napi::String::New(env, reason));
  });
}

Napi::Value is_in_use_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env,
                 [&]() -> Napi::Value { return Napi::Boolean::New(env, is_in_use(info[0].ToString().Utf8Value())); });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  Napi::Object names = Napi::Object::New(env);
  names.Set("segmentDescriptor", environment::segment_descriptor);
  names.Set("treeDirectory", environment::tree_directory);
  names.Set("parentPid", environment::parent_pid);
  names.Set("trackProgram", environment::track_program);
  names.Set("sampling", environment::sampling);
  names.Set("samplingSeed", environment::sampling_seed);
  names.Set("controlEndpoint", environment::control_endpoint);
  names.Set("controlKey", environment::control_key);
  exports.Set("environmentNames", names);
  exports.Set("layoutVersion", segment::layout_version);
  exports.Set("noCode", index_of(CodeId::none));
  exports.Set("whyNotPreloadable", Napi::Function::New(env, why_not_preloadable_js, "whyNotPreloadable"));
  exports.Set("whyNotPreloadedInto", Napi::Function::New(env, why_not_preloaded_into_js, "whyNotPreloadedInto"));
  exports.Set("Segment", Segment::define(env));
  exports.Set("isInUse", Napi::Function::New(env, is_in_use_js, "isInUse"));
  define_supervisor(env, exports);
  exports.Set("releaseResident",
              Napi::Function::New(env, [](const Napi::CallbackInfo&) { release_resident(); }, "releaseResident"));
  exports.Set("Forwarder", define_forwarder(env));
  exports.Set("ProcessTree", define_process_tree(env));
  define_memory_watch(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(filprofiler, initialize)

}  // namespace fil::addon
