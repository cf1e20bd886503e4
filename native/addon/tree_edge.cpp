#include "tree_edge.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "guardian.hpp"
#include "segment_reader.hpp"
#include "snapshot_js.hpp"
#include "tree_control.hpp"

namespace fil::addon {
namespace {

double seconds(std::uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) * 1e-9;
}

class ProcessTree : public Napi::ObjectWrap<ProcessTree> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "ProcessTree",
        {InstanceMethod<&ProcessTree::joint>("joint"), InstanceMethod<&ProcessTree::adopt>("adopt"),
         InstanceMethod<&ProcessTree::member>("member"), InstanceMethod<&ProcessTree::reap>("reap"),
         InstanceMethod<&ProcessTree::young>("young"), InstanceMethod<&ProcessTree::forget_young>("forgetYoung"),
         InstanceMethod<&ProcessTree::snapshot>("snapshot"),
         InstanceMethod<&ProcessTree::held_at_joint_peak>("heldAtJointPeak"),
         InstanceMethod<&ProcessTree::forget>("forget"), InstanceMethod<&ProcessTree::set_exact>("setExact"),
         InstanceMethod<&ProcessTree::begin>("begin"), InstanceMethod<&ProcessTree::end>("end"),
         InstanceMethod<&ProcessTree::stop>("stop")});
  }

  explicit ProcessTree(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    guarded(info.Env(), [&] {
      const std::string directory = info[0].ToString().Utf8Value();
      // First: killed at any moment from here on, we leave no directory.
      guardian_ = std::make_unique<Guardian>(directory);
      if (mkdir(directory.c_str(), 0700) != 0) {
        const int error = errno;
        guardian_->dismiss();
        throw std::system_error(error, std::generic_category(), "mkdir");
      }
      control_ = std::make_unique<TreeControl>(directory, info[1].ToBoolean());
      return info.Env().Undefined();
    });
  }

 private:
  template <class Body>
  static Napi::Value guarded(Napi::Env env, Body body) {
    try {
      return body();
    } catch (const std::exception& error) {
      throw Napi::Error::New(env, error.what());
    }
  }

  SegmentReader& reader(const Napi::CallbackInfo& info) {
    const std::uint32_t number = info[0].ToNumber().Uint32Value();
    if (number >= members_.size() || members_[number] == nullptr) {
      throw Napi::RangeError::New(info.Env(), "There is no member " + std::to_string(number) + ".");
    }
    return *members_[number];
  }

  Napi::Value joint(const Napi::CallbackInfo& info) {
    const tree::Control& control = control_->control();
    Napi::Object result = Napi::Object::New(info.Env());
    const std::uint32_t session = control.session.load(std::memory_order_acquire);
    result.Set("isOpen", session != 0 && (session & tree::sampled_session) == 0);
    result.Set("currentBytes", static_cast<double>(tree::joint_current(control.joint)));
    result.Set("peakBytes", static_cast<double>(tree::joint_peak(control.joint)));
    result.Set("sharedBytes", static_cast<double>(control_->shared_bytes()));
    result.Set("creditBytes", static_cast<double>(control.credit_bytes.load(std::memory_order_relaxed)));
    result.Set("refusedMembers", control.refused_members.load(std::memory_order_relaxed));
    Napi::Array refused = Napi::Array::New(info.Env());
    for (const std::atomic<std::int32_t>& pid : control.refused_pids) {
      if (const std::int32_t number = pid.load(std::memory_order_relaxed); number != 0) {
        refused.Set(refused.Length(), number);
      }
    }
    result.Set("refusedPids", refused);
    result.Set("lastMember", control.last_member.load(std::memory_order_relaxed));
    return result;
  }

  Napi::Value adopt(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      members_.push_back(std::make_unique<SegmentReader>(info[0].ToString().Utf8Value(), SegmentReader::Open::member));
      return Napi::Number::New(info.Env(), static_cast<double>(members_.size() - 1));
    });
  }

  Napi::Value member(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const SegmentReader& of = reader(info);
      const segment::Header& header = of.header();
      const tree::Member& member = tree::member_of(of.view());
      Napi::Object result = Napi::Object::New(info.Env());
      result.Set("pid", header.pid);
      result.Set("parentPid", member.parent);
      result.Set("isForked", member.origin == tree::Origin::forked);
      result.Set("hasStacks", member.has_stacks != 0);
      const std::size_t bytes = std::min<std::size_t>(member.command_bytes, sizeof(member.command));
      result.Set("command", Napi::Buffer<char>::Copy(info.Env(), member.command, bytes));
      result.Set("joinedAtSeconds", seconds(member.joined_nanoseconds.load(std::memory_order_relaxed)));
      const std::uint64_t left = member.left_nanoseconds.load(std::memory_order_relaxed);
      result.Set("leftAtSeconds", left == 0 || member.left_at_peak.load(std::memory_order_acquire) < 0
                                      ? info.Env().Null()
                                      : Napi::Value(Napi::Number::New(info.Env(), seconds(left))));
      result.Set("session", header.session.load(std::memory_order_relaxed));
      result.Set("currentBytes", static_cast<double>(header.current_bytes.load(std::memory_order_relaxed)));
      result.Set("peakBytes", static_cast<double>(header.peak_bytes.load(std::memory_order_relaxed)));
      result.Set("sharedBytes", static_cast<double>(member.shared_bytes.load(std::memory_order_relaxed)));
      return result;
    });
  }

  Napi::Value snapshot(const Napi::CallbackInfo& info) {
    return guarded(info.Env(),
                   [&] { return snapshot_js(info.Env(), reader(info), tree::joint_peak(control_->control().joint)); });
  }

  Napi::Value held_at_joint_peak(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const bool held = reader(info).held_at_joint_peak(tree::joint_peak(control_->control().joint));
      return Napi::Boolean::New(info.Env(), held);
    });
  }

  Napi::Value reap(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const SegmentReader& dead = reader(info);
      std::vector<tree::Member*> others;
      for (const auto& each : members_) {
        if (each != nullptr && each.get() != &dead) {
          others.push_back(&tree::member_of(each->view()));
        }
      }
      control_->reap(tree::member_of(dead.view()), others);
      return info.Env().Undefined();
    });
  }

  Napi::Value young(const Napi::CallbackInfo& info) {
    const Napi::Array result = Napi::Array::New(info.Env());
    for (std::uint32_t place = 0; place < tree::young_places; ++place) {
      const tree::Young& young = control_->control().young[place];
      const std::int32_t pid = young.pid.load(std::memory_order_acquire);  // pairs with enroll_young()
      if (pid <= 0) {
        continue;
      }
      const std::uint64_t left = young.left_nanoseconds.load(std::memory_order_acquire);  // pairs with leave_young()
      Napi::Object of = Napi::Object::New(info.Env());
      of.Set("place", place);
      of.Set("pid", pid);
      of.Set("session", young.session.load(std::memory_order_relaxed));
      of.Set("joinedAtSeconds", seconds(young.joined_nanoseconds.load(std::memory_order_relaxed)));
      of.Set("leftAtSeconds",
             left == 0 ? info.Env().Null() : Napi::Value(Napi::Number::New(info.Env(), seconds(left))));
      of.Set("peakBytes", static_cast<double>(young.peak_bytes.load(std::memory_order_relaxed)));
      result.Set(result.Length(), of);
    }
    return result;
  }

  Napi::Value forget_young(const Napi::CallbackInfo& info) {
    const std::uint32_t place = info[0].ToNumber().Uint32Value();
    if (place >= tree::young_places) {
      throw Napi::RangeError::New(info.Env(), "There is no place " + std::to_string(place) + ".");
    }
    control_->forget_young(place);
    return info.Env().Undefined();
  }

  Napi::Value forget(const Napi::CallbackInfo& info) {
    reader(info);
    members_[info[0].ToNumber().Uint32Value()] = nullptr;
    return info.Env().Undefined();
  }

  Napi::Value set_exact(const Napi::CallbackInfo& info) {
    control_->set_exact(info[0].ToBoolean());
    return info.Env().Undefined();
  }

  Napi::Value end(const Napi::CallbackInfo& info) {
    control_->stop();
    return info.Env().Undefined();
  }

  Napi::Value begin(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), control_->begin()); }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    control_->stop();
    guardian_->dismiss();
    return info.Env().Undefined();
  }

  std::unique_ptr<Guardian> guardian_;
  std::unique_ptr<TreeControl> control_;
  std::vector<std::unique_ptr<SegmentReader>> members_;
};

}  // namespace

Napi::Function define_process_tree(Napi::Env env) {
  return ProcessTree::define(env);
}

}  // namespace fil::addon
