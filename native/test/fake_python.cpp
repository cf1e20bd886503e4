#include "fake_python.hpp"

#include <cstdlib>

#include "../tracker/python/interpreter.hpp"

namespace fil::test {
namespace {

std::byte main_interpreter[64];
std::mutex the_gil;
thread_local FakeThread* own_thread = nullptr;
thread_local bool holds_gil = false;

python::Allocator allocators[3] = {};

void* plain_malloc(void*, std::size_t size) {
  return std::malloc(size);
}
void* plain_calloc(void*, std::size_t count, std::size_t size) {
  return std::calloc(count, size);
}
void* plain_realloc(void*, void* block, std::size_t size) {
  return std::realloc(block, size);
}
void plain_free(void*, void* block) {
  std::free(block);
}
python::Allocator& allocator_of(python::Domain domain) {
  python::Allocator& found = allocators[static_cast<int>(domain)];
  if (found.malloc == nullptr) {
    found = python::Allocator{nullptr, plain_malloc, plain_calloc, plain_realloc, plain_free};
  }
  return found;
}

}  // namespace

const void* FakeInterpreter::main() {
  return main_interpreter;
}
std::mutex& FakeInterpreter::gil() {
  return the_gil;
}
void FakeInterpreter::enter(FakeThread* thread) {
  own_thread = thread;
}
FakeThread* FakeInterpreter::this_thread() {
  return own_thread;
}
void FakeInterpreter::set_holds_gil(bool holds) {
  holds_gil = holds;
}

}  // namespace fil::test

// What the tracker finds by name in the program.
using fil::test::FakeInterpreter;
using fil::test::FakeString;
#define FAKE_VISIBLE __attribute__((visibility("default"), used))
#define FAKE_EXPORT extern "C" FAKE_VISIBLE

extern "C" {
FAKE_VISIBLE unsigned long Py_Version = 0x030d00f0;
FAKE_VISIBLE char PyCode_Type[512] = {};
FAKE_VISIBLE char PyDict_Type[512] = {};
FAKE_VISIBLE char _Py_NoneStruct[16] = {};
}

FAKE_EXPORT void* PyGILState_GetThisThreadState() {
  return FakeInterpreter::this_thread() == nullptr ? nullptr : FakeInterpreter::this_thread()->state();
}
FAKE_EXPORT void* PyThreadState_GetUnchecked() {
  return fil::test::holds_gil ? PyGILState_GetThisThreadState() : nullptr;
}
FAKE_EXPORT int Py_IsInitialized() {
  return 1;
}
FAKE_EXPORT void* PyInterpreterState_Main() {
  return fil::test::main_interpreter;
}
FAKE_EXPORT void PyMem_GetAllocator(fil::python::Domain domain, fil::python::Allocator* to) {
  *to = fil::test::allocator_of(domain);
}
FAKE_EXPORT void PyMem_SetAllocator(fil::python::Domain domain, fil::python::Allocator* from) {
  fil::test::allocator_of(domain) = *from;
}
FAKE_EXPORT void* PyMem_Malloc(std::size_t size) {
  const fil::python::Allocator& allocator = fil::test::allocator_of(fil::python::Domain::mem);
  return allocator.malloc(allocator.context, size);
}
FAKE_EXPORT void PyMem_Free(void* block) {
  const fil::python::Allocator& allocator = fil::test::allocator_of(fil::python::Domain::mem);
  allocator.free(allocator.context, block);
}
FAKE_EXPORT int PyCode_Addr2Line(void*, int offset) {
  return offset / 8 + 1;
}
FAKE_EXPORT std::ptrdiff_t PyUnicode_GetLength(void* string) {
  return static_cast<std::ptrdiff_t>(static_cast<FakeString*>(string)->text.size());
}
FAKE_EXPORT std::uint32_t PyUnicode_ReadChar(void* string, std::ptrdiff_t index) {
  return static_cast<unsigned char>(static_cast<FakeString*>(string)->text[static_cast<std::size_t>(index)]);
}
FAKE_EXPORT void* PyDict_New() {
  return nullptr;
}
FAKE_EXPORT int PyGC_Disable() {
  return 0;
}
FAKE_EXPORT int PyGC_Enable() {
  return 0;
}
FAKE_EXPORT int PyErr_SetInterruptEx(int) {
  return 0;
}
FAKE_EXPORT int PyCode_AddWatcher(int (*)(int, void*)) {
  return 0;
}
