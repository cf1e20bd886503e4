// The start of the program that Python's command line names.
#pragma once

namespace fil::python {

/// Called with the GIL held, on the main thread, each once.
struct ProgramStart {
  /// Python, started up, is about to look for the program. No frame exists yet.
  void (*prepared)();
  /// It was found and compiled: its code, or that of a package around it, is about to run.
  void (*began)();
};

/// Arranges for the calls, so that the program runs exactly as without us. To be called before Python starts. False if
/// this Python can't tell.
bool watch_program(ProgramStart start);

}  // namespace fil::python
