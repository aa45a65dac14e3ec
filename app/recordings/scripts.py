"""The scripts that come with the app, one a lesson."""

from __future__ import annotations

from dataclasses import dataclass

from app.recordings.script import Script, parse


@dataclass(frozen=True)
class Lesson:
    """``lesson`` is what to look for; ``variants`` those beside which it shows best."""

    script: Script
    lesson: str
    variants: tuple[str, ...]


def _lesson(lesson: str, variants: str, text: str) -> Lesson:
    return Lesson(parse(text.lstrip()), lesson, tuple(variants.split()))


SCRIPTS: dict[str, Lesson] = {
    "one-client": _lesson(
        "One client says one line. Each variant waits twice: for somebody to come, and for something to be said. "
        "Look where it waits: in accept and recv, in a selector, or nowhere at all.",
        "blocking nonblocking selectors asyncio",
        """
title = "One client, one line"

[[client]]
name = "ann"
at = 0.3
does = ["connect", "wait 0.5", "say hello\\n", "wait 0.4", "say quit\\n", "read", "leave"]
""",
    ),
    "three-clients-one-silent": _lesson(
        "One client says nothing. Where clients are served in turn, the others wait for it; where the kernel says who "
        "is ready, nobody does.",
        "blocking nonblocking selectors asyncio",
        """
title = "Three clients, one silent"

[[client]]
name = "silent"
at = 0.2
does = ["connect", "wait 2", "leave"]

[[client]]
name = "ann"
at = 0.5
does = ["connect", "wait 0.3", "say hello\\n", "wait 0.6", "say quit\\n", "read", "leave"]

[[client]]
name = "bob"
at = 0.8
does = ["connect", "wait 0.3", "say hi\\n", "wait 0.6", "say quit\\n", "read", "leave"]
""",
    ),
    "the-first-takes-all": _lesson(
        "Two clients, one after the other. A server that accepts once serves one in its life; a loop around accept "
        "serves the second as well.",
        "accept-once blocking-single blocking",
        """
title = "The first takes all"

[[client]]
name = "first"
at = 0.2
does = ["connect", "say hello\\n", "wait 0.4", "say quit\\n", "read", "leave"]

[[client]]
name = "second"
at = 1.0
does = ["connect", "say hello\\n", "wait 0.4", "say quit\\n", "read", "leave"]
""",
    ),
    "burning-for-nothing": _lesson(
        "A client that is silent for two seconds. Polling asks it tens of thousands of times; a selector asks nobody.",
        "nonblocking selectors",
        """
title = "Burning for nothing"

[[client]]
name = "silent"
at = 0.2
does = ["connect", "wait 2", "say quit\\n", "wait 0.2", "leave"]
""",
    ),
    "registered-once-or-twice": _lesson(
        "Five messages. asyncio's sock_recv registers and unregisters with the loop's selector for each; what stays "
        "registered does not: count the epoll calls of a message.",
        "asyncio asyncio-tuned asyncio-streams selectors",
        """
title = "Registered once, or for each message"

[[client]]
name = "ann"
at = 0.2
does = [
  "connect", "wait 0.2", "say 1\\n", "wait 0.2", "say 2\\n", "wait 0.2", "say 3\\n",
  "wait 0.2", "say 4\\n", "wait 0.2", "say 5\\n", "wait 0.2", "leave",
]
""",
    ),
    "boom": _lesson(
        "A client makes its server raise. Contained, it costs that client its connection; not contained, look who else "
        "pays.",
        "asyncio-basic asyncio threads",
        """
title = "boom"

[[client]]
name = "bystander"
at = 0.2
does = ["connect", "say before\\n", "wait 1", "say after\\n", "wait 0.3", "leave"]

[[client]]
name = "bomber"
at = 0.5
does = ["connect", "wait 0.2", "say boom\\n", "wait 0.3", "leave"]
""",
    ),
    "half-close": _lesson(
        "A client that has said all it will say, and still listens. recv returns 0 bytes: the end of what comes, not "
        "of what may be sent.",
        "blocking asyncio",
        """
title = "Half-close"

[[client]]
name = "ann"
at = 0.2
does = ["connect", "say hello\\n", "wait 0.3", "half-close", "wait 0.3", "read", "leave"]
""",
    ),
    "reset": _lesson(
        "A client that vanishes with a reset. The next call on its socket says ECONNRESET: an error of one client, and "
        "of no other.",
        "blocking selectors asyncio",
        """
title = "A reset"

[[client]]
name = "vanishes"
at = 0.2
does = ["connect", "say hel", "wait 0.3", "reset"]

[[client]]
name = "stays"
at = 0.3
does = ["connect", "wait 0.6", "say quit\\n", "wait 0.2", "read", "leave"]
""",
    ),
    "never-reads": _lesson(
        "A client sends much and reads nothing. Its receive buffer fills, then the server's send buffer: send blocks, "
        "or says EAGAIN, and whoever serves others must not wait for it.",
        "threads selectors asyncio asyncio-streams",
        """
title = "One that never reads"

[[client]]
name = "greedy"
at = 0.2
does = ["connect", "flood 8000000", "wait 1.5", "leave"]

[[client]]
name = "ann"
at = 0.8
does = ["connect", "say hello\\n", "wait 0.4", "read", "leave"]
""",
    ),
    "the-queue": _lesson(
        "Five come at once. The kernel connects them all, whether or not anybody accepts: watch the accept queue.",
        "blocking threads asyncio",
        """
title = "Five at once"

[[client]]
name = "1"
at = 0.3
does = ["connect", "wait 0.4", "say quit\\n", "read", "leave"]

[[client]]
name = "2"
at = 0.3
does = ["connect", "wait 0.4", "say quit\\n", "read", "leave"]

[[client]]
name = "3"
at = 0.3
does = ["connect", "wait 0.4", "say quit\\n", "read", "leave"]

[[client]]
name = "4"
at = 0.3
does = ["connect", "wait 0.4", "say quit\\n", "read", "leave"]

[[client]]
name = "5"
at = 0.3
does = ["connect", "wait 0.4", "say quit\\n", "read", "leave"]
""",
    ),
    "in-pieces": _lesson(
        "TCP carries bytes, not messages: one line in three pieces, then two lines in one. A recv gives what is there.",
        "blocking selectors asyncio",
        """
title = "A line in pieces"

[[client]]
name = "ann"
at = 0.2
does = [
  "connect", "say he", "wait 0.3", "say llo", "wait 0.3", "say \\n",
  "wait 0.3", "say two\\nlines\\n", "wait 0.3", "leave",
]
""",
    ),
    "threads-or-tasks": _lesson(
        "Three talkers at once. A thread each blocks in its own recv; one loop sleeps for all of them.",
        "threads asyncio",
        """
title = "A thread each, or one loop"

[[client]]
name = "ann"
at = 0.2
does = ["connect", "wait 0.2", "say one\\n", "wait 0.5", "say two\\n", "wait 0.3", "leave"]

[[client]]
name = "bob"
at = 0.3
does = ["connect", "wait 0.3", "say one\\n", "wait 0.5", "say two\\n", "wait 0.3", "leave"]

[[client]]
name = "cid"
at = 0.4
does = ["connect", "wait 0.4", "say one\\n", "wait 0.5", "say two\\n", "wait 0.3", "leave"]
""",
    ),
}
