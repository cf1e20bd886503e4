#include "elf.hpp"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <fstream>

namespace fil::addon {
namespace {

#if defined(__x86_64__)
constexpr Elf64_Half own_machine = EM_X86_64;
constexpr char own_machine_name[] = "x86-64";
#elif defined(__aarch64__)
constexpr Elf64_Half own_machine = EM_AARCH64;
constexpr char own_machine_name[] = "aarch64";
#else
#error "Fil knows x86-64 and aarch64"
#endif

}  // namespace

std::string why_not_preloadable(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return "The tracker " + path + " is missing or can't be read.";
  }
  Elf64_Ehdr header{};
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  if (!file || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_type != ET_DYN) {
    return "The tracker " + path + " is not a 64-bit shared library.";
  }
  if (header.e_machine != own_machine) {
    return "The tracker " + path + " is built for another processor (ELF machine " + std::to_string(header.e_machine) +
           "), this one is " + own_machine_name + ".";
  }
  // Libraries are loaded by a list that is separated by these.
  if (path.find_first_of(": ") != std::string::npos) {
    return "The tracker's path " + path +
           " has a space or a colon, which LD_PRELOAD can't express. Install filprofiler into a directory without "
           "them.";
  }
  return {};
}

std::string why_not_preloaded_into(const std::string& program) {
  std::ifstream file(program, std::ios::binary);
  Elf64_Ehdr header{};
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  if (!file || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return {};
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != own_machine) {
    return program + " is a program for another processor than this " + own_machine_name +
           ", for which Fil is built. Use a Python for " + own_machine_name + ".";
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    file.seekg(static_cast<std::streamoff>(header.e_phoff + std::uint64_t{i} * header.e_phentsize));
    file.read(reinterpret_cast<char*>(&segment), sizeof(segment));
    if (!file || segment.p_type == PT_INTERP) {
      return {};
    }
  }
  return program +
         " is linked statically: Fil can't be loaded into it, so nothing could be counted. Use a dynamically linked "
         "CPython, as the builds of python.org, Debian, pyenv and conda are.";
}

}  // namespace fil::addon
