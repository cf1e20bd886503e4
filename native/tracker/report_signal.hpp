// SIGUSR2, by which users ask for a report while the program runs: passed on to the process that writes reports, which
// needs nothing of us for it. What the program itself does with that signal it still does.
#pragma once

namespace fil {

/// Takes the signal over, unless it is ignored: then it stays so. `reporter` is the pid to pass it on to. Before the
/// program starts.
void take_over_report_signal(int reporter);
/// The same, with what is to be done, in the handler.
void take_over_report_signal(void (*ask)());

}  // namespace fil
