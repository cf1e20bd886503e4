"""What the process itself knows at the end of a profiled cell: an `Observed` of `schema/observed.ts`."""

import threading
from collections.abc import Mapping
from typing import Any

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from filprofiler._clues import clues_in_code, clues_in_tables
from filprofiler._origins import Origins, parsed
from filprofiler._variables import attach, measure, variables_of, with_origins

MOST_OBJECTS = 50_000
"""Looked at inside containers, which takes about 0.02 s after each profiled cell; see :func:`measure`."""

MOST_VARIABLES = 20
MOST_NAMES = 5
MOST_CLUES = 50


class Observer:
    """Watches the notebook's cells, to know at the end of each which made what."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._origins = Origins(shell)
        self._clues: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        # Cells can run cells, and those of a subshell run in a thread of their own.
        self._running = threading.local()

    def install(self) -> None:
        """Begins to watch."""
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)
        attach(self._shell, self._origins)

    def remove(self) -> None:
        """Undoes :meth:`install`."""
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)

    def _before_cell(self, info: ExecutionInfo) -> None:
        # The counter has been raised already for a cell that gets a number.
        number = self._shell.execution_count - 1 if info.store_history else None
        self._stack().append((number, info.cell_id, self._origins.snapshot()))

    def _after_cell(self, result: ExecutionResult | None) -> None:
        stack = self._stack()
        if stack:
            number, cell_id, before = stack.pop()
            self._origins.take(before, number, cell_id, result)

    def _stack(self) -> list[tuple[int | None, str | None, dict[str, int]]]:
        stack: list[tuple[int | None, str | None, dict[str, int]]] | None = getattr(self._running, "stack", None)
        if stack is None:
            stack = self._running.stack = []
        return stack

    def observe(self, number: int | None) -> dict[str, Any]:
        """The notebook's largest variables, and facts that name usual causes of high peaks.

        Args:
            number: the n of `In [n]` of the cell that has ended.
        """
        values = variables_of(self._shell)
        entries = with_origins(measure(values, MOST_OBJECTS), self._origins)[:MOST_VARIABLES]
        tables = {
            tuple(entry["names"][:MOST_NAMES]): values[entry["names"][0]]
            for entry in entries
            if number is not None and entry["cell"] == number
        }
        clues = [*self._clues_in_code(), *clues_in_tables(tables)]
        variables = [
            {key: value for key, value in entry.items() if key != "cellId"} | {"names": entry["names"][:MOST_NAMES]}
            for entry in entries
        ]
        return {"variables": variables, "clues": clues[:MOST_CLUES]}

    def _clues_in_code(self) -> list[dict[str, Any]]:
        """Of all cells, the latest first, as a cell may call functions that others define."""
        numbers: Mapping[str, int] = getattr(self._shell.compile, "_filename_map", {})
        found: list[dict[str, Any]] = []
        for filename, number in sorted(numbers.items(), key=lambda item: -item[1]):
            known = self._clues.get(filename)
            if known is None or known[0] != number:
                known = (number, list(clues_in_code(parsed(filename), number)))
                self._clues[filename] = known
            found.extend(known[1])
        return found
