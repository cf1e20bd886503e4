"""The notebook's cells, so that reports can show `Cell [7]` instead of the file names that IPython gives to code."""

import linecache
from collections.abc import Mapping

from IPython.core.interactiveshell import InteractiveShell

from filprofiler._control import CellSource


class KnownCells:
    """Which cells the proxy has been told about."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._sent: dict[str, int] = {}

    def take_new(self) -> list[CellSource]:
        """The cells that ran since the last call, the running one among them, with the n of their latest `In [n]`."""
        # IPython's own table, which its tracebacks use; it tells a number by `format_code_name`, but not the names.
        numbers: Mapping[str, int] = getattr(self._shell.compile, "_filename_map", {})
        new = {name: number for name, number in numbers.items() if self._sent.get(name) != number}
        self._sent.update(new)
        return [
            {"filename": name, "executionCount": number, "source": self._source(name, number)}
            for name, number in new.items()
        ]

    def _source(self, filename: str, execution_count: int) -> str:
        """The text whose lines the code counts: the user's, unless IPython's magics changed the number of lines."""
        executed = "".join(linecache.getlines(filename))
        manager = self._shell.history_manager
        inputs = manager.input_hist_raw if manager else []
        raw = inputs[execution_count] if 0 <= execution_count < len(inputs) else executed
        # IPython strips blank lines at the top before it counts.
        raw = raw.lstrip("\n")
        return raw if raw.count("\n") == executed.rstrip("\n").count("\n") else executed
