"""Why a terminal is closed: the close codes (RFC 6455, 7.4), what each means, and the reasons that go with them.

README, the page's words (static/terminal/ends.js) and the command line's exit codes go by this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class CloseCode(IntEnum):
    """Those from 4000 on are ours. ``websockets`` sends 1007 and 1009 too, and others for errors of the protocol."""

    DONE = 1000
    NOT_TEXT = 1007
    TOO_BIG = 1009
    BUG = 1011
    APP_STOPS = 1012
    TOO_MANY = 1013
    REFUSED = 4000
    TIMED_OUT = 4001
    STOPPED = 4002
    RESET = 4003
    IDLE = 4004
    OVERDRAWN = 4005
    NODE_LOST = 4006


@dataclass(frozen=True)
class About:
    """What a code means, for programmers; and for the page's reader what happened and what to do (``advice``).

    ``trouble``: neither of the two ends wanted it. ``needs_start``: it is mended by starting the server.
    """

    meaning: str
    happened: str
    advice: str = ""
    trouble: bool = False
    needs_start: bool = False


CLOSE_CODES: dict[CloseCode, About] = {
    CloseCode.DONE: About("both ends are done", "closed by the server"),
    CloseCode.NOT_TEXT: About("a text message is not UTF-8", "closed: a text message was not UTF-8", trouble=True),
    CloseCode.TOO_BIG: About("a message is larger than 1 MiB", "closed: a message was larger than 1 MiB", trouble=True),
    CloseCode.BUG: About("a bug in the app", "closed by a bug in the app", "Its log says more.", trouble=True),
    CloseCode.APP_STOPS: About("the app stops", "closed: the app is stopping"),
    CloseCode.TOO_MANY: About(
        "too many terminals are open (`--terminals`, 1000), or no descriptor is left",
        "not opened: too many terminals",
        "Close one, then reconnect.",
        trouble=True,
    ),
    CloseCode.REFUSED: About(
        "the server does not run",
        "refused: nobody listens there",
        "Start %(server)s, then reconnect.",
        trouble=True,
        needs_start=True,
    ),
    CloseCode.TIMED_OUT: About(
        "the server did not answer: its accept queue is full",
        "no answer: the server's backlog is full",
        "Let a client leave, then reconnect.",
        trouble=True,
    ),
    CloseCode.STOPPED: About("the server was stopped", "closed: the server was stopped", needs_start=True),
    CloseCode.RESET: About(
        "the server reset the connection",
        "reset by the server",
        "It hung up with bytes still unread, or broke.",
        trouble=True,
    ),
    CloseCode.IDLE: About(
        "the client sent nothing for long, though the server had ended, or waited for credit that lay behind 16 MiB",
        "closed: nothing came from this page for long",
    ),
    CloseCode.OVERDRAWN: About(
        "the client granted more credit than bytes came",
        "closed by a bug in this page",
        "It granted more than came.",
        trouble=True,
    ),
    CloseCode.NODE_LOST: About(
        "the server's node was lost, or gave the server to another one",
        "closed: the server's node was lost",
        "Reconnect: another node takes the server.",
        trouble=True,
    ),
}


class Verdict(NamedTuple):
    """Why a terminal is closed; ``reason`` goes to the client, 123 bytes at most (RFC 6455, 5.5)."""

    code: CloseCode
    reason: str


BOTH_DONE = Verdict(CloseCode.DONE, "Both ends are done.")
SERVER_DONE = Verdict(CloseCode.DONE, "The server has ended the connection.")
NOT_TEXT = Verdict(CloseCode.NOT_TEXT, "A text message that is not UTF-8.")
BUG = Verdict(CloseCode.BUG, "A bug in the app; its log says more.")
APP_STOPS = Verdict(CloseCode.APP_STOPS, "The app is shutting down.")
NO_DESCRIPTOR = Verdict(CloseCode.TOO_MANY, "No file descriptor is left for terminals: close some, or stop servers.")
SERVER_STOPPED = Verdict(CloseCode.STOPPED, "The server was stopped.")
SERVER_RESET = Verdict(CloseCode.RESET, "The server reset the connection.")


def too_many(most: int) -> Verdict:
    return Verdict(
        CloseCode.TOO_MANY,
        f"{most} terminals are open, which is the limit; for more, start the app with a higher --terminals.",
    )


def not_running(state: str) -> Verdict:
    return Verdict(CloseCode.REFUSED, f"The server does not run: it is {state}.")


def unreachable(why: str) -> Verdict:
    return Verdict(CloseCode.REFUSED, f"The server cannot be reached: {why}.")


def timed_out(seconds: float) -> Verdict:
    return Verdict(CloseCode.TIMED_OUT, f"The server did not answer for {seconds:g} s: its queue may be full.")


def idle(seconds: float) -> Verdict:
    return Verdict(CloseCode.IDLE, f"Nothing came from the page for {seconds:g} s.")


def node_lost(node: str) -> Verdict:
    return Verdict(CloseCode.NODE_LOST, f"The node {node} was lost, or no longer has the server.")


def overdrawn(count: int) -> Verdict:
    return Verdict(CloseCode.OVERDRAWN, f"That is {count} bytes more credit than bytes were sent.")
