#include "elf.hpp"

#include <elf.h>

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

}  // namespace fil::addon
