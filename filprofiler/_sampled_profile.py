"""Samples of cells that nobody profiles: taken without a word, and told to the proxy when there is time for it."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

from filprofiler import _control, _tracker
from filprofiler._control import CellSource, EndedCell, Outcome

one_at_a_time = threading.Lock()
"""Held by the profile that runs, sampled or exact."""

WAIT_SECONDS = 1.0
"""A cell waits no longer for the figures of the one before to be read, which takes a millisecond: or they are lost."""

BURST = 8
MESSAGES_PER_SECOND = 4
"""Cells that left nothing to read are told together, if there are more than so many: a message costs 0.1 ms."""

MOST_WAITING = 500


@dataclass(frozen=True)
class Cell:
    """Whose samples they are."""

    subject: Mapping[str, object]
    """As in `schema/report.ts`."""
    parent_header: Mapping[str, object] | None
    """That of the request that runs it."""


class SampledProfile:
    """A running profile that samples."""

    def __init__(self, cell: Cell, session: int, news: "SampledNews") -> None:
        self._cell = cell
        self._session = session
        self._news = news
        self._began = time.monotonic()
        self._seconds: float | None = None

    def stop(self) -> None:
        """Ends tracking; the second time it does nothing."""
        with _stopping:
            if self in _running:
                _tracker.end()
                self._seconds = self._seconds or time.monotonic() - self._began

    def end(self, outcome: Outcome, number: int | None) -> None:
        """Ends the profile, unless it has given way to another, and has its figures told.

        Args:
            outcome: how the cell ended.
            number: the n of its `In [n]`, which is certain at the end only; None if it has none.
        """
        with _stopping:
            self.stop()
            if not self._leave():
                return
        session, peak_bytes = _tracker.last_session()
        self._news.add(
            {
                "subject": {**self._cell.subject, "executionCount": number},
                "parentHeader": self._cell.parent_header,
                "outcome": outcome,
                "seconds": self._seconds or 0.0,
                # Nobody has to read the tables for a cell of which nothing was seen.
                "session": session if session == self._session and peak_bytes > 0 else None,
            }
        )

    def give_way(self) -> None:
        """Ends without a word."""
        with _stopping:
            self._leave()

    def _leave(self) -> bool:
        if self not in _running:
            return False
        try:
            _tracker.end()
        finally:
            _running.remove(self)
            one_at_a_time.release()
        return True


_running: list[SampledProfile] = []
"""The one that runs, if one does: whoever takes it out ends it."""
# Two threads that end one would end the profile that the first of them begins then.
_stopping = threading.RLock()


_unsettled: "list[SampledNews]" = []
"""Those with figures that may not have been read."""


def give_way() -> None:
    """Ends the sampled profile that runs, if one does, for one that was asked for."""
    for profile in tuple(_running):
        profile.give_way()
    for news in tuple(_unsettled):
        news.settle()


def begin(cell: Cell, boundaries: Sequence[CodeType], mean_bytes: int, news: "SampledNews") -> SampledProfile | None:
    """A running profile; None if there can't be one.

    Args:
        cell: whose it is.
        boundaries: call stacks are shown from the frames that code of these calls.
        mean_bytes: one allocated byte in so many is sampled.
        news: where it is told when it has ended.
    """
    if not one_at_a_time.acquire(blocking=False):
        return None
    begins = False
    try:
        news.settle()
        begins = True
        _tracker.begin(boundaries, mean_bytes)
        profile = SampledProfile(cell, _tracker.last_session()[0], news)
        _running.append(profile)
    except BaseException as error:
        is_refused = isinstance(error, _tracker.TrackerError)
        if begins and not is_refused:
            _tracker.end()
        one_at_a_time.release()
        if is_refused:
            return None
        raise
    return profile


class SampledNews:
    """What the proxy has not been told yet.

    The figures of the last cell stand in shared memory until the next one begins: :meth:`settle` waits until they have
    been read. Of cells in which nothing was seen there are none to read, so that many of them are told together.
    """

    def __init__(
        self, client: Callable[[], _control.ControlClient | None], cells: Callable[[], list[CellSource]]
    ) -> None:
        """Begins with nothing.

        Args:
            client: the line to the proxy.
            cells: makes the notebook's cells that are new to it.
        """
        self._client = client
        self._cells = cells
        self._lock = threading.RLock()
        self._waiting: list[EndedCell] = []
        self._unread: int | None = None
        """The message whose answer says that the figures were read."""
        self._budget = float(BURST)
        self._budget_at = time.monotonic()
        self._timer: asyncio.Handle | None = None
        self._due_at = 0.0

    def add(self, ended: EndedCell) -> None:
        """Has a cell told, once its reply has gone out."""
        with self._lock:
            self._waiting.append(ended)
            has_figures = ended["session"] is not None
            if has_figures and self not in _unsettled:
                _unsettled.append(self)
            if len(self._waiting) >= MOST_WAITING:
                self._send()
            elif has_figures or self._timer is None or self._is_due():
                self._later(0 if has_figures or self._may_send() else 1 / MESSAGES_PER_SECOND)

    def settle(self) -> None:
        """Makes sure that the figures of the last cell have been read, as the next will write over them."""
        with self._lock:
            if self in _unsettled:
                _unsettled.remove(self)
            if self._is_due() or any(ended["session"] is not None for ended in self._waiting):
                self._send()
            if self._unread is not None:
                self._unread, unread = None, self._unread
                client = self._client()
                if client is not None:
                    client.wait_for(unread, WAIT_SECONDS)

    def _is_due(self) -> bool:
        # Its loop may be kept busy by cells, or be one of a subshell that is gone.
        return self._timer is not None and time.monotonic() >= self._due_at

    def _later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._send()
            return
        # The reply goes out before the loop has time for it.
        self._due_at = time.monotonic() + seconds
        self._timer = loop.call_later(seconds, self._send) if seconds else loop.call_soon(self._send)

    def _may_send(self) -> bool:
        now = time.monotonic()
        self._budget = min(BURST, self._budget + MESSAGES_PER_SECOND * (now - self._budget_at))
        self._budget_at = now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    def _send(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            told, self._waiting = self._waiting, []
            client = self._client()
            if not told or client is None:
                return
            number = client.post({"type": "sampled", "ended": told, "cells": self._cells()})
            if any(ended["session"] is not None for ended in told):
                self._unread = number
