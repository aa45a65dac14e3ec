"""What is looked at again and again: on a terminal in one place, else one after the other.

The app is asked in a thread of its own. An app whose loop is blocked does not answer for long, and just then the view
must go on to say so, and to listen to its keys.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

import echodeck
from app.console.reach import Reach, Told, why
from app.console.tables import out, plain, show
from app.program.exit_codes import complain

GLANCE = 0.1
"""Seconds between two looks at what came from the app."""

LATE = 2.0
"""Seconds without an answer that are worth saying."""

T = TypeVar("T")


class View(Generic[T]):
    """What to ask the app (in a thread), and how that is shown; one that fills the screen is ``whole``."""

    whole = False

    def look(self, deck: echodeck.Client) -> T:
        raise NotImplementedError

    def told(self, found: T) -> Told:
        """For programs."""
        raise NotImplementedError

    def shown(self, found: T) -> list[Text | Table]:
        """For people."""
        raise NotImplementedError

    def key(self, pressed: str) -> bool:
        """Whether that ends it."""
        return "q" in pressed.lower()


def keep_looking(reach: Reach, view: View[T], interval: float) -> None:
    """Until Ctrl+C or a key of the view's; the app may go and come again.

    Raises:
        Refused, Unreachable: the first look, or any if the app refuses it for good.
    """
    looks = _Looks(reach, view, interval)
    if reach.as_json or not out.is_terminal:
        _one_after_the_other(reach, view, looks)
    else:
        _in_one_place(view, looks)


class _Looks(Generic[T]):
    """What was found last, and why nothing is found now."""

    def __init__(self, reach: Reach, view: View[T], interval: float) -> None:
        self.url = reach.deck.url
        self.found = view.look(reach.deck)
        self.trouble: str | None = None
        self._news: SimpleQueue[T | Exception] = SimpleQueue()
        self._answered = time.monotonic()
        self._interval = interval
        threading.Thread(target=self._keep_looking, args=(reach.deck, view), daemon=True).start()

    def _keep_looking(self, deck: echodeck.Client, view: View[T]) -> None:
        while True:
            time.sleep(self._interval)
            try:
                self._news.put(view.look(deck))
            except Exception as reason:  # for the main thread, if that still listens
                self._news.put(reason)

    def take(self, seconds: float) -> bool:
        """Wait for news; returns whether something was found."""
        with suppress(Empty):
            news = self._news.get(timeout=seconds) if seconds else self._news.get_nowait()
            if isinstance(news, echodeck.Unreachable) or (isinstance(news, echodeck.Refused) and news.status == 503):
                self.trouble = why(news) if isinstance(news, echodeck.Refused) else plain(str(news))
            elif isinstance(news, Exception):
                raise news
            else:
                self.found, self.trouble, self._answered = news, None, time.monotonic()
                return True
        return False

    @property
    def note(self) -> str | None:
        """What is wrong, if something is."""
        late = time.monotonic() - self._answered
        if self.trouble:
            return f"{self.trouble}; trying again"
        return f"no answer for {late:.0f} s" if late > self._interval + LATE else None


def _one_after_the_other(reach: Reach, view: View[T], looks: _Looks[T]) -> None:
    said: str | None = None
    fresh = True
    while True:
        if fresh:
            if reach.as_json:
                reach.tell(view.told(looks.found))
            else:
                for part in view.shown(looks.found):
                    show(part if isinstance(part, Table) else part.plain)
                typer.echo()
        if (looks.trouble is None) != (said is None):
            said = looks.trouble
            complain(f"{said}; trying again" if said else f"{looks.url} answers again")
        fresh = looks.take(60.0)


def _in_one_place(view: View[T], looks: _Looks[T]) -> None:
    with _on_screen(view.whole) as live, _keys() as pressed:
        drawn = 0.0
        while True:
            fresh = looks.take(0.0)
            key = pressed(GLANCE)
            if key and view.key(key):
                return
            if fresh or key or time.monotonic() - drawn > 1.0:
                drawn = time.monotonic()
                live.update(_picture(view, looks), refresh=True)


def _picture(view: View[T], looks: _Looks[T]) -> RenderableType:
    note = looks.note
    parts: list[Any] = [*([Text(note, style="bold red")] if note else []), *view.shown(looks.found)]
    return Group(*parts)


@contextmanager
def _on_screen(whole: bool) -> Iterator[Live]:
    """The terminal is left as it was, whatever ends the program."""

    def end(signum: int, _: object) -> None:
        sys.exit(128 + signum)

    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), end)
    with Live(console=out, screen=whole, auto_refresh=False, vertical_overflow="crop") as live:
        yield live


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Wait for a key for this many seconds; keys are not shown, and Ctrl+C works."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    before = termios.tcgetattr(0)

    def pressed(seconds: float) -> str:
        readable, _, _ = select.select([0], [], [], seconds)
        return os.read(0, 100).decode(errors="replace") if readable else ""

    tty.setcbreak(0)
    try:
        yield pressed
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
