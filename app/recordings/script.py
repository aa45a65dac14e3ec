"""A script of clients: what each does, and when. Small TOML, which a person edits.

[[client]]
at = 0.5
name = "the talkative one"
does = ["connect", "say hello\\n", "wait 0.5", "read", "say quit\\n", "leave"]
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Literal

MOST_CLIENTS = 50
MOST_SECONDS = 10.0
MOST_STEPS = 100
MOST_FLOOD = 8_000_000
MOST_TEXT = 65_536
LONGEST_NAME = 40

Verb = Literal["connect", "say", "flood", "wait", "read", "half-close", "reset", "leave"]
VERBS: dict[str, str] = {
    "connect": "connect",
    "say": "say hello\\n",
    "flood": "flood 500000",
    "wait": "wait 0.5",
    "read": "read",
    "half-close": "half-close",
    "reset": "reset",
    "leave": "leave",
}
"""Each with an example."""

_WITH_NUMBER = {"wait", "flood"}
_HEADER = re.compile(r"^\s*\[\[\s*client\s*\]\]")


class Mistake(ValueError):
    """``line`` counts from 1; None where it is about the whole."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


@dataclass(frozen=True)
class Step:
    """``text`` is what is said, ``number`` seconds to wait or bytes to send."""

    verb: Verb
    text: str = ""
    number: float = 0.0

    @property
    def words(self) -> str:
        if self.verb in _WITH_NUMBER:
            return f"{self.verb} {self.number:g}"
        return f"say {self.text}" if self.verb == "say" else self.verb


@dataclass(frozen=True)
class ScriptedClient:
    name: str
    at: float
    does: tuple[Step, ...]

    @property
    def seconds(self) -> float:
        """When it is done at the earliest."""
        return self.at + sum(step.number for step in self.does if step.verb == "wait")


@dataclass(frozen=True)
class Script:
    text: str
    title: str
    clients: tuple[ScriptedClient, ...]

    @property
    def seconds(self) -> float:
        return max(client.seconds for client in self.clients)


def parse(text: str) -> Script:
    """Raises:
    Mistake: it is none; with the line.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as reason:
        at = re.search(r" \(at line (\d+), column \d+\)", str(reason))
        raise Mistake(re.sub(r" \(at .*\)", "", str(reason)), int(at[1]) if at else None) from None
    places = _Places(text)
    if extra := next((key for key in found if key not in ("title", "client")), None):
        raise Mistake(f"{extra!r} is nothing that a script has; it has a title and clients.", places.of(extra))
    title = found.get("title", "")
    if not isinstance(title, str) or len(title) > 200:
        raise Mistake("the title is a text of up to 200 characters.", places.of("title"))
    clients = found.get("client")
    if not isinstance(clients, list) or not clients:
        raise Mistake("there is no [[client]] in it.", places.of("client"))
    if len(clients) > MOST_CLIENTS:
        raise Mistake(f"it has {len(clients)} clients; {MOST_CLIENTS} are the most.", places.of("client", MOST_CLIENTS))
    return Script(text, title, tuple(_client(one, number, places) for number, one in enumerate(clients)))


class _Places:
    """Where in the text something stands."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._headers = [number for number, line in enumerate(self._lines) if _HEADER.match(line)]

    def of(self, word: str, client: int | None = None) -> int | None:
        """The line that holds the word; of that client, or before them all."""
        if client is None or client >= len(self._headers):
            start, end = 0, len(self._lines)
        else:
            start = self._headers[client]
            end = self._headers[client + 1] if client + 1 < len(self._headers) else len(self._lines)
        for number in range(start, end):
            if word in self._lines[number]:
                return number + 1
        return start + 1 if client is not None and self._lines else None


def _client(given: Any, number: int, places: _Places) -> ScriptedClient:
    if not isinstance(given, dict):
        raise Mistake("a client has at, name and does.", places.of("client", number))
    if extra := next((key for key in given if key not in ("at", "name", "does")), None):
        raise Mistake(f"{extra!r} is nothing that a client has; it has at, name and does.", places.of(extra, number))
    at = given.get("at", 0)
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= MOST_SECONDS:
        raise Mistake(f"at is a number of seconds, from 0 to {MOST_SECONDS:g}.", places.of("at", number))
    name = given.get("name", f"client {number + 1}")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise Mistake(f"the name is a text of 1 to {LONGEST_NAME} characters.", places.of("name", number))
    does = given.get("does")
    if not isinstance(does, list) or not 0 < len(does) <= MOST_STEPS:
        raise Mistake(f"does is a list of 1 to {MOST_STEPS} steps.", places.of("does", number))
    steps = tuple(_step(one, number, places) for one in does)
    _check_order(steps, number, places)
    client = ScriptedClient(name, float(at), steps)
    if client.seconds > MOST_SECONDS:
        raise Mistake(f"{name} takes {client.seconds:g} s; {MOST_SECONDS:g} are the most.", places.of("does", number))
    return client


def _step(given: Any, number: int, places: _Places) -> Step:
    if not isinstance(given, str):
        raise Mistake(f"{given!r} is no step: a step is a text.", places.of(str(given), number))
    verb, _, rest = given.partition(" ")
    where = places.of(given.splitlines()[0] if given else "does", number)
    if verb not in VERBS:
        raise Mistake(f"{verb!r} is nothing that a client does; it does {', '.join(VERBS)}.", where)
    if verb == "say":
        if not 0 < len(rest.encode()) <= MOST_TEXT:
            raise Mistake("say what?", where)
        return Step("say", text=rest)
    if verb in _WITH_NUMBER:
        most = MOST_SECONDS if verb == "wait" else MOST_FLOOD
        try:
            value = float(rest)
        except ValueError:
            value = -1.0
        if not 0 < value <= most or (verb == "flood" and value != int(value)):
            unit = "seconds" if verb == "wait" else "bytes"
            raise Mistake(f"{verb} takes a number of {unit}, up to {most:,.0f}.", where)
        return Step(verb, number=value)  # type: ignore[arg-type]
    if rest:
        raise Mistake(f"{verb} takes nothing after it.", where)
    return Step(verb)  # type: ignore[arg-type]


def _check_order(steps: tuple[Step, ...], number: int, places: _Places) -> None:
    connected = half_closed = False
    for step in steps:
        where = places.of(step.verb, number)
        if step.verb == "connect":
            if connected:
                raise Mistake("it is connected already.", where)
            connected, half_closed = True, False
        elif step.verb == "wait":
            continue
        elif not connected:
            raise Mistake(f"{step.verb!r} before it is connected.", where)
        elif step.verb in ("leave", "reset"):
            connected = False
        elif step.verb in ("say", "flood", "half-close"):
            if half_closed:
                raise Mistake(f"{step.verb!r} after a half-close: it has said that nothing more comes.", where)
            half_closed = step.verb == "half-close"
