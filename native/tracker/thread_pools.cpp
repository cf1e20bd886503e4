#include "thread_pools.hpp"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include <atomic>
#include <cstddef>

namespace fil {
namespace {

/// Beginnings of the names of files that hold a pool, and the functions that set its size, as threadpoolctl knows them
/// (https://github.com/joblib/threadpoolctl).
constexpr const char* files[] = {"libopenblas",  "libscipy_openblas", "libblas", "libmkl_rt", "libblis",
                                 "libflexiblas", "libiomp",           "libgomp", "libomp"};
constexpr const char* setters[] = {
    "openblas_set_num_threads",       "openblas_set_num_threads64_",       "openblas_set_num_threads_64",
    "scipy_openblas_set_num_threads", "scipy_openblas_set_num_threads64_", "MKL_Set_Num_Threads",
    "bli_thread_set_num_threads",     "flexiblas_set_num_threads",         "omp_set_num_threads"};

void limit(const char* path) {
  void* library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) {
    return;
  }
  for (const char* setter : setters) {
    if (const auto set = reinterpret_cast<void (*)(int)>(dlsym(library, setter))) {
      set(1);
    }
  }
  dlclose(library);
}

/// Libraries are never so many that come at once; what does not fit is met at the next change.
constexpr std::size_t most_new = 32;

struct Seen {
  const char* new_pools[most_new] = {};
  std::size_t count = 0;
};

unsigned long long libraries_added = 0;

int notice_change(dl_phdr_info* info, std::size_t, void* data) {
  *static_cast<unsigned long long*>(data) = info->dlpi_adds;
  return 1;
}

int note_pool(dl_phdr_info* info, std::size_t, void* data) {
  Seen& seen = *static_cast<Seen*>(data);
  const char* slash = info->dlpi_name == nullptr ? nullptr : strrchr(info->dlpi_name, '/');
  for (const char* file : files) {
    if (slash != nullptr && strncmp(slash + 1, file, strlen(file)) == 0 && seen.count < most_new) {
      seen.new_pools[seen.count++] = info->dlpi_name;
    }
  }
  return 0;
}

/// Pools of libraries that have come since the last call; setting one again does no harm.
void limit_libraries() {
  unsigned long long added = 0;
  dl_iterate_phdr(notice_change, &added);
  if (added == libraries_added) {
    return;
  }
  libraries_added = added;
  Seen seen{};
  dl_iterate_phdr(note_pool, &seen);
  for (std::size_t i = 0; i < seen.count; ++i) {
    limit(seen.new_pools[i]);
  }
}

/// Packages with pools of their own, which have to be asked in Python.
struct Package {
  const char* name;
  const char* setter;
  bool done;
};
Package packages[] = {
    {"numexpr", "set_num_threads", false}, {"blosc", "set_nthreads", false}, {"blosc2", "set_nthreads", false}};

/// What is needed of Python for that.
struct {
  int (*add_pending_call)(int (*function)(void*), void* argument);
  /// Ends the process if the interpreter has none any more.
  void* (*modules)();
  int (*is_finalizing)();
  std::ptrdiff_t (*dict_size)(void* dict);
  void* (*dict_item)(void* dict, const char* key);
  void* (*attribute)(void* object, const char* name);
  int (*is_true)(void* object);
  void* (*call)(void* function, void* argument);
  void* (*number)(long value);
  void (*release)(void* object);
  void (*clear_error)();
} python{};

template <class Function>
bool find(const char* name, Function& to) {
  to = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return to != nullptr;
}

bool find_functions() {
  static const bool found =
      find("Py_AddPendingCall", python.add_pending_call) && find("PyImport_GetModuleDict", python.modules) &&
      find("PyDict_Size", python.dict_size) && find("PyDict_GetItemString", python.dict_item) &&
      find("PyObject_GetAttrString", python.attribute) && find("PyObject_IsTrue", python.is_true) &&
      find("PyObject_CallOneArg", python.call) && find("PyLong_FromLong", python.number) &&
      find("Py_DecRef", python.release) && find("PyErr_Clear", python.clear_error) &&
      // Its public name since 3.13.
      (find("Py_IsFinalizing", python.is_finalizing) || find("_Py_IsFinalizing", python.is_finalizing));
  return found;
}

/// An attribute, as a new reference; null, without an error, if there is none.
void* attribute_or_null(void* object, const char* name) {
  void* value = object == nullptr ? nullptr : python.attribute(object, name);
  if (value == nullptr) {
    python.clear_error();
  }
  return value;
}

void release(void* object) {
  if (object != nullptr) {
    python.release(object);
  }
}

/// Whether the import of a module is still going on, as importlib notes it.
bool is_being_imported(void* module) {
  void* spec = attribute_or_null(module, "__spec__");
  void* initializing = attribute_or_null(spec, "_initializing");
  const bool result = initializing != nullptr && python.is_true(initializing) == 1;
  release(initializing);
  release(spec);
  return result;
}

bool limit_package(const Package& package, void* module) {
  void* setter = attribute_or_null(module, package.setter);
  if (setter == nullptr) {
    return true;
  }
  void* one = python.number(1);
  void* result = one == nullptr ? nullptr : python.call(setter, one);
  if (result == nullptr) {
    python.clear_error();
  }
  release(result);
  release(one);
  release(setter);
  return true;
}

std::atomic<bool> pending{false};
/// A package is being imported: to be looked at again soon.
std::atomic<bool> expected{false};

/// Run by Python's main thread between two instructions of the program.
int limit_packages(void*) {
  bool incomplete = false;
  if (python.is_finalizing() != 0) {
    return 0;
  }
  for (Package& package : packages) {
    void* module = package.done ? nullptr : python.dict_item(python.modules(), package.name);
    if (module == nullptr) {
      continue;
    }
    if (is_being_imported(module)) {
      incomplete = true;
    } else {
      package.done = limit_package(package, module);
    }
  }
  expected.store(incomplete, std::memory_order_relaxed);
  pending.store(false, std::memory_order_release);
  return 0;
}

std::ptrdiff_t modules_seen = 0;
std::atomic_flag busy = ATOMIC_FLAG_INIT;

}  // namespace

void limit_new_thread_pools() {
  // Interpreters with a GIL of their own may come together here; one is enough.
  if (busy.test_and_set(std::memory_order_acquire)) {
    return;
  }
  limit_libraries();
  // Finalizers run until the very end, when there are no modules any more.
  if (find_functions() && python.is_finalizing() == 0) {
    const std::ptrdiff_t modules = python.dict_size(python.modules());
    // In an allocator no code of Python's may run.
    if ((modules != modules_seen || expected.load(std::memory_order_relaxed)) &&
        !pending.exchange(true, std::memory_order_acquire)) {
      modules_seen = modules;
      if (python.add_pending_call(limit_packages, nullptr) != 0) {
        pending.store(false, std::memory_order_release);
      }
    }
  }
  busy.clear(std::memory_order_release);
}

}  // namespace fil
