#include "handed_on.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../shared/environment.hpp"
#include "errno_kept.hpp"

namespace fil {
namespace {

/// Path of our library, as it was preloaded.
char library[PATH_MAX] = {};
/// The dynamic linker of this program.
char linker[128] = {};

constexpr Elf64_Half own_machine =
#if defined(__x86_64__)
    EM_X86_64;
#else
    EM_AARCH64;
#endif

/// A script's interpreter can be a script.
constexpr int most_interpreters = 4;

struct File {
  explicit File(const char* path)
      : descriptor(static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK))) {}
  ~File() {
    if (descriptor >= 0) {
      syscall(SYS_close, descriptor);
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool read(void* to, std::size_t bytes, std::size_t from) const {
    return syscall(SYS_pread64, descriptor, to, bytes, from) == static_cast<long>(bytes);
  }

  int descriptor;
};

int note_linker(dl_phdr_info* info, std::size_t, void*) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & part = info->dlpi_phdr[i];
    if (part.p_type == PT_INTERP && part.p_memsz < sizeof(linker)) {
      memcpy(linker, reinterpret_cast<const void*>(info->dlpi_addr + part.p_vaddr), part.p_memsz);
    }
  }
  return 1;  // the program is the first
}

/// Whether an executable of the ELF kind is for this machine and has the same dynamic linker as this program.
bool has_same_linker(const File& file, const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != own_machine ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return false;
  }
  for (unsigned i = 0; i < header.e_phnum && i < 64; ++i) {
    Elf64_Phdr part{};
    if (!file.read(&part, sizeof(part), header.e_phoff + i * sizeof(part))) {
      return false;
    }
    if (part.p_type == PT_INTERP) {
      char its[sizeof(linker)] = {};
      return part.p_filesz < sizeof(its) && file.read(its, part.p_filesz, part.p_offset) && strcmp(its, linker) == 0;
    }
  }
  return false;
}

/// Whether the program loads a preloaded library: a dynamic one for this machine that gets no more rights than we have.
bool loads_library(const char* path, int interpreters = 0) {
  const File file(path);
  struct stat status{};
  char head[256] = {};
  if (file.descriptor < 0 || fstat(file.descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
      (status.st_mode & (S_ISUID | S_ISGID)) != 0 ||
      syscall(SYS_pread64, file.descriptor, head, sizeof(head) - 1, 0) < 4) {
    return false;
  }
  if (memcmp(head, ELFMAG, SELFMAG) == 0) {
    Elf64_Ehdr header{};
    return file.read(&header, sizeof(header), 0) && has_same_linker(file, header);
  }
  if (head[0] != '#' || head[1] != '!' || interpreters == most_interpreters) {
    return false;
  }
  char* name = head + 2 + strspn(head + 2, " \t");
  name[strcspn(name, " \t\n")] = '\0';
  return loads_library(name, interpreters + 1);
}

bool can_execute(const char* path) {
  struct stat status{};
  return stat(path, &status) == 0 && S_ISREG(status.st_mode) && syscall(SYS_faccessat, AT_FDCWD, path, X_OK) == 0;
}

/// The first of that name on PATH, as execvp() looks for it. False if there is none.
bool find_on_path(const char* file, char (&to)[PATH_MAX]) {
  const char* path = getenv("PATH");
  for (const char* directory = path == nullptr ? "/bin:/usr/bin" : path; directory != nullptr;) {
    const char* end = strchrnul(directory, ':');
    const int bytes = static_cast<int>(end - directory);
    const int written = snprintf(to, sizeof(to), "%.*s%s%s", bytes, directory, bytes == 0 ? "" : "/", file);
    if (written > 0 && static_cast<std::size_t>(written) < sizeof(to) && can_execute(to)) {
      return true;
    }
    directory = *end == '\0' ? nullptr : end + 1;
  }
  return false;
}

bool would_load_us(const char* file, Search search) {
  const system::ErrnoKept kept;
  if (file == nullptr || library[0] == '\0' || linker[0] == '\0' ||
      syscall(SYS_faccessat, AT_FDCWD, library, R_OK) != 0) {
    return false;
  }
  if (search == Search::none || strchr(file, '/') != nullptr) {
    return loads_library(file);
  }
  char found[PATH_MAX];
  return find_on_path(file, found) && loads_library(found);
}

/// The value of an entry "name=value"; null if it is another's.
const char* value_of(const char* entry, const char* name) {
  const std::size_t bytes = strlen(name);
  return strncmp(entry, name, bytes) == 0 && entry[bytes] == '=' ? entry + bytes + 1 : nullptr;
}

}  // namespace

void leave_preload_list() {
  Dl_info self{};
  const char* list = getenv(environment::preload);
  if (list == nullptr || dladdr(reinterpret_cast<void*>(&leave_preload_list), &self) == 0) {
    return;
  }
  const std::size_t own = strlen(self.dli_fname);
  // We are put first by whoever starts the process.
  if (strncmp(list, self.dli_fname, own) != 0 || (list[own] != '\0' && list[own] != ':' && list[own] != ' ')) {
    return;
  }
  if (own < sizeof(library)) {
    memcpy(library, self.dli_fname, own + 1);
    dl_iterate_phdr(note_linker, nullptr);
  }
  if (list[own] == '\0') {
    unsetenv(environment::preload);
  } else {
    setenv(environment::preload, list + own + 1, 1);
  }
}

void name_of_descriptor(int descriptor, char (&to)[32]) {
  snprintf(to, sizeof(to), "/proc/self/fd/%d", descriptor);
}

std::size_t HandedOn::own_entries(char* const* prepared, char* const* before, const char* (&to)[more_entries]) {
  std::size_t count = 0;
  for (std::size_t i = 0; prepared != before && prepared[i] != nullptr && count < more_entries; ++i) {
    if (value_of(prepared[i], environment::preload) != nullptr ||
        value_of(prepared[i], environment::tree_directory) != nullptr) {
      to[count++] = prepared[i];
    }
  }
  return count;
}

std::size_t HandedOn::entries_of(char* const* environment) {
  std::size_t count = 0;
  while (environment != nullptr && environment[count] != nullptr) {
    ++count;
  }
  return count;
}

char* const* HandedOn::prepare(const char* tree, const char* file, Search search, char* const* environment,
                               char** entries) {
  if (!would_load_us(file, search)) {
    return environment;
  }
  const char* others = nullptr;
  std::size_t count = 0;
  std::size_t at_preload = ~std::size_t{0};
  for (; environment != nullptr && environment[count] != nullptr; ++count) {
    entries[count] = environment[count];
    if (value_of(environment[count], environment::segment_descriptor) != nullptr ||
        value_of(environment[count], environment::tree_directory) != nullptr) {
      // Somebody else's, by another of us.
      return environment;
    }
    if (const char* value = value_of(environment[count], environment::preload)) {
      others = value;
      at_preload = count;
    }
  }
  const int preload_bytes = snprintf(preload_, sizeof(preload_), "%s=%s%s%s", environment::preload, library,
                                     others == nullptr ? "" : ":", others == nullptr ? "" : others);
  const int tree_bytes = snprintf(tree_, sizeof(tree_), "%s=%s", environment::tree_directory, tree);
  if (preload_bytes < 0 || static_cast<std::size_t>(preload_bytes) >= sizeof(preload_) || tree_bytes < 0 ||
      static_cast<std::size_t>(tree_bytes) >= sizeof(tree_)) {
    return environment;
  }
  if (at_preload == ~std::size_t{0}) {
    entries[count++] = preload_;
  } else {
    entries[at_preload] = preload_;
  }
  entries[count++] = tree_;
  entries[count] = nullptr;
  return entries;
}

}  // namespace fil
