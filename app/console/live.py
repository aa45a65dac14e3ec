"""Live views: redrawn in place on a terminal, otherwise printed one after the other.

The app is polled in a thread of its own. An app whose loop is blocked does not answer for long; meanwhile the view must
report that, and must read its keys.
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
from typing import Generic, TypeVar

import typer

import echodeck
from app.console.reach import Answer, Reach, refusal_text
from app.console.tables import Line, escape, print_answer, to_terminal
from app.program.exit_codes import print_error

POLL_INTERVAL = 0.1
"""Seconds between two checks for an answer of the app."""

LATE = 2.0
"""Seconds without an answer after which that is reported."""

T = TypeVar("T")


class View(Generic[T]):
    """A request to the app (made in a thread), and its answer as output; ``whole``: the view fills the screen."""

    whole = False

    def look(self, deck: echodeck.Client) -> T:
        raise NotImplementedError

    def to_json(self, found: T) -> Answer:
        """The output for programs."""
        raise NotImplementedError

    def to_lines(self, found: T) -> list[Line]:
        """The output for people."""
        raise NotImplementedError

    def key(self, pressed: str) -> bool:
        """Whether this key ends the view."""
        return "q" in pressed.lower()


def keep_looking(reach: Reach, view: View[T], interval: float) -> None:
    """Show the view until Ctrl+C or a key of the view ends it; the app may stop and start again meanwhile.

    Raises:
        Refused, Unreachable: the first request failed; Refused also later, unless the status is 503.
    """
    looks = _Looks(reach, view, interval)
    if reach.as_json or not to_terminal():
        _print_each(reach, view, looks)
    else:
        _redraw(view, looks)


class _Looks(Generic[T]):
    """The latest answer, and the reason why there is none now."""

    def __init__(self, reach: Reach, view: View[T], interval: float) -> None:
        self.url = reach.deck.url
        self.found = view.look(reach.deck)
        self.trouble: str | None = None
        self._answers: SimpleQueue[T | Exception] = SimpleQueue()
        self._answered = time.monotonic()
        self._interval = interval
        threading.Thread(target=self._keep_looking, args=(reach.deck, view), daemon=True).start()

    def _keep_looking(self, deck: echodeck.Client, view: View[T]) -> None:
        while True:
            time.sleep(self._interval)
            try:
                self._answers.put(view.look(deck))
            except Exception as reason:  # raised or reported in the main thread
                self._answers.put(reason)

    def take(self, seconds: float) -> bool:
        """Wait for an answer; returns whether one was received."""
        with suppress(Empty):
            news = self._answers.get(timeout=seconds) if seconds else self._answers.get_nowait()
            if isinstance(news, echodeck.Unreachable) or (isinstance(news, echodeck.Refused) and news.status == 503):
                self.trouble = refusal_text(news) if isinstance(news, echodeck.Refused) else escape(str(news))
            elif isinstance(news, Exception):
                raise news
            else:
                self.found, self.trouble, self._answered = news, None, time.monotonic()
                return True
        return False

    @property
    def note(self) -> str | None:
        """The present problem, if there is one."""
        late = time.monotonic() - self._answered
        if self.trouble:
            return f"{self.trouble}; trying again"
        return f"no answer for {late:.0f} s" if late > self._interval + LATE else None


def _print_each(reach: Reach, view: View[T], looks: _Looks[T]) -> None:
    reported: str | None = None
    fresh = True
    while True:
        if fresh:
            if reach.as_json:
                reach.answer_json(view.to_json(looks.found))
            else:
                print_answer(view.to_lines(looks.found))
                typer.echo()
        if (looks.trouble is None) != (reported is None):
            reported = looks.trouble
            print_error(f"{reported}; trying again" if reported else f"{looks.url} answers again")
        fresh = looks.take(60.0)


def _redraw(view: View[T], looks: _Looks[T]) -> None:
    with _on_screen(view.whole) as draw, _keys() as pressed:
        drawn = 0.0
        while True:
            fresh = looks.take(0.0)
            key = pressed(POLL_INTERVAL)
            if key and view.key(key):
                return
            if fresh or key or time.monotonic() - drawn > 1.0:
                drawn = time.monotonic()
                note = looks.note
                draw([*([Line(note, "bold red")] if note else []), *view.to_lines(looks.found)])


@contextmanager
def _on_screen(whole: bool) -> Iterator[Callable[[list[Line]], None]]:
    """Yields a function that draws lines in the place of those before. The terminal is restored, whatever ends the
    program."""
    from rich.console import Console, Group  # slow to import, and needed in a terminal only
    from rich.live import Live
    from rich.text import Text

    def end(signum: int, _: object) -> None:
        sys.exit(128 + signum)

    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), end)
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, screen=whole, auto_refresh=False, vertical_overflow="crop") as live:

        def draw(lines: list[Line]) -> None:
            texts = (Text(line.text, line.style, no_wrap=True, overflow="crop") for line in lines)
            live.update(Group(*texts), refresh=True)

        yield draw


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yields a function that waits n seconds for a key. Keys are not echoed, and Ctrl+C works."""
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
