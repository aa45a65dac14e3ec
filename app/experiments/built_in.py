"""The experiments that are there from the start: each a question, a guess to make first, and what its answer shows.

The sentences are the interface's words; the page translates them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.experiments.experiment import Experiment


@dataclass(frozen=True)
class BuiltIn:
    """``guesses`` are answers to choose from before it runs, ``right`` the place of the one that measuring shows.

    ``figures`` are those whose plots tell most; ``shows`` is read after the run.
    """

    title: str
    question: str
    guess: str
    guesses: tuple[str, ...]
    right: int
    shows: str
    figures: tuple[str, ...]
    experiment: Experiment


def _(text: str) -> str:
    """Marks the interface's words."""
    return text


def _experiment(**fields: Any) -> Experiment:
    """Short trials: a learner waits for them."""
    return Experiment.model_validate({"seconds": 0.8, "warm_up": 0.25, **fields})


_ALL = {
    "second-waits": BuiltIn(
        _("The second client waits"),
        _("Clients come together, and each stays for 50 ms before it speaks. How long until one has its echo?"),
        _("With eight clients, how long until one has its echo from a blocking server?"),
        (_("about 50 ms: as long as one client stays"), _("about 400 ms: as long as eight stay"), _("under 1 ms")),
        1,
        _(
            "A blocking server has one client at a time: the wait grows with the place in the queue. Threads and "
            "asyncio take everybody in at once, and all stay together."
        ),
        ("p50_us",),
        _experiment(variants=["blocking", "threads", "asyncio"], clients=[1, 2, 4, 8], size=64, churn=True, think=0.05),
    ),
    "polling-burns": BuiltIn(
        _("Polling burns"),
        _("What does a server take of a processor while its clients say something twenty times a second?"),
        _("One client sends twenty messages a second. What does a server take that polls without sleeping?"),
        (_("next to nothing, as there is little to do"), _("about a tenth of a processor"), _("a whole processor")),
        2,
        _(
            "Polling asks without end whether there is something to do, and takes the whole processor whatever "
            "comes. A selector sleeps in the kernel until there is."
        ),
        ("server_share", "p50_us"),
        _experiment(variants=["nonblocking", "selectors", "asyncio"], clients=[1, 20], size=64, think=0.05),
    ),
    "forty-milliseconds": BuiltIn(
        _("Forty milliseconds"),
        _("What do Nagle's algorithm and delayed acknowledgements do to a message that comes back in pieces?"),
        _("A message of 64 KiB comes back in pieces of 1 KiB. What does it take when Nagle's algorithm is on?"),
        (_("under 1 ms, as without it"), _("about 2 ms"), _("40 ms and more in some messages")),
        2,
        _(
            "Nagle's algorithm holds a small piece back until the one before is acknowledged; the other side delays "
            "its acknowledgement by up to 40 ms."
        ),
        ("p50_us", "msgs_per_s", "max_us"),
        _experiment(
            variants=[
                {"variant": "asyncio", "settings": {"nodelay": False}, "label": "Nagle on"},
                {"variant": "asyncio", "settings": {"nodelay": True}, "label": "Nagle off"},
            ],
            clients=4,
            size=[1000, 16_000, 64_000],
            settings={"recv_size": 1024},
        ),
    ),
    "ten-thousand-silent": BuiltIn(
        _("Silent clients"),
        _("What does a connection cost that says nothing?"),
        _("Which one needs most memory for 2,000 silent clients?"),
        (_("threads: each has a stack"), _("asyncio: each has a task"), _("they are alike")),
        0,
        _(
            "A thread has a stack and structures of the kernel, of which resident memory shows only the part that "
            "was used; a coroutine is a few objects. Each trial has a process of its own, as memory once used stays "
            "taken."
        ),
        ("memory_per_connection", "server_share"),
        _experiment(
            variants=["selectors", "asyncio-tuned", "asyncio", "asyncio-streams", "threads"],
            clients=5,
            think=0.1,
            silent=2000,
        ),
    ),
    "slow-reader": BuiltIn(
        _("One slow reader"),
        _("Twenty clients read too slowly. What do all others notice?"),
        _("Do the others wait for the slow ones?"),
        (_("yes: the server waits until they have read"), _("no: what they have not read waits in buffers")),
        1,
        _(
            "A server that waits in send() for one client waits with everybody else. These do not: they write what "
            "fits, and go on with the others."
        ),
        ("p99_us", "msgs_per_s"),
        _experiment(variants=["selectors", "asyncio", "threads"], clients=20, size=4096, slow=20),
    ),
    "hog-on-the-loop": BuiltIn(
        _("One hog on the loop"),
        _("Two servers share a loop, and one of them polls. What does the other one's client notice?"),
        _("A polling server runs beside. What happens to the latency of its neighbour on the same loop?"),
        (_("nothing: each has its own socket"), _("it grows, as both take turns"), _("it stops for good")),
        1,
        _(
            "The loop has one thread: while one server has it, nobody else runs. A server that polls takes its turn "
            "even when it has no client at all, and each of its neighbour's messages waits for that."
        ),
        ("p50_us", "msgs_per_s", "lag_p99_ms"),
        _experiment(
            variants=[
                {"variant": "asyncio", "label": "alone"},
                {"variant": "asyncio", "beside": "nonblocking", "label": "beside a polling one"},
            ],
            clients=[1, 20],
            size=64,
        ),
    ),
    "the-knee": BuiltIn(
        _("The knee"),
        _("What does latency do as more messages a second are offered?"),
        _("At nine tenths of what asyncio can do, latency at p99 is, against that of a low load,"),
        (_("a tenth higher"), _("about twice as high"), _("ten times as high and more")),
        2,
        _(
            "Up to the knee a message is dealt with as it comes; beyond it a queue begins, and by Little's law those "
            "in it are the rate times the wait. A load that waits for each answer would hide this: it offers less "
            "when the server is slow."
        ),
        ("p99_us", "p50_us"),
        _experiment(
            variants=["asyncio"],
            clients=200,
            size=4096,
            loop="open",
            rate=[1000, 2000, 4000, 6000, 8000, 10_000, 12_000, 14_000, 16_000],
            settings={"recv_size": 256},  # so that the server, and not the generator, comes to its limit
        ),
    ),
    "churn": BuiltIn(
        _("Coming and going"),
        _("How many clients a second can come, say one thing, and go?"),
        _("Against messages on connections that stay, that is"),
        (_("about as many"), _("a third or less"), _("a hundredth")),
        1,
        _(
            "A connection costs its server an accept, a registration, perhaps a task or a thread, and a close: "
            "several times what a message costs."
        ),
        ("msgs_per_s", "p50_us"),
        _experiment(variants=["blocking", "selectors", "asyncio", "threads"], clients=8, size=64, churn=True),
    ),
    "cost-of-a-message": BuiltIn(
        _("What each message costs"),
        _("How much of a processor does one message take, by its size?"),
        _("A message of 64 KiB costs, against one of 64 bytes,"),
        (_("a thousand times as much, as it has a thousand times the bytes"), _("a few times as much"), _("the same")),
        1,
        _(
            "Most of what a small message costs is the way to it: the selector, the loop, two calls of the kernel. "
            "Bytes are cheap beside that until there are many."
        ),
        ("cpu_us_per_message", "bytes_per_s"),
        _experiment(variants=["selectors", "asyncio", "asyncio-tuned", "threads"], clients=10, size=[64, 4096, 65_536]),
    ),
    "fair-or-not": BuiltIn(
        _("Fair or not"),
        _("Of many busy clients, does each get as much as the others?"),
        _("With 200 busy clients, the luckiest one gets, against the one with least luck,"),
        (_("about as much"), _("twice as much"), _("ten times as much and more")),
        0,
        _(
            "A loop takes the ready ones in turn. With threads the kernel and Python's lock decide; look at the "
            "least and the most in the table."
        ),
        ("msgs_per_s", "p99_us"),
        _experiment(variants=["selectors", "asyncio", "asyncio-tuned", "threads"], clients=200, size=256),
    ),
    "two-cores": BuiltIn(
        _("Two cores make threads slower"),
        _("What does a server with a thread for each client gain from a second core?"),
        _("Fifty clients send without a pause. With more than one core, a server with a thread for each one answers"),
        (_("about twice as many messages"), _("about as many"), _("fewer, down to half")),
        2,
        _(
            "Python runs in one thread at a time, in the one that has the interpreter's lock. On one core the next "
            "thread takes it over there; on two it is handed from core to core, and each time a thread has to be woken "
            "and what it works on has to be fetched by another cache. More cores are of use to more processes."
        ),
        ("msgs_per_s", "cpu_us_per_message", "p99_us"),
        _experiment(
            variants=[
                {"variant": "threads", "affinity": "apart", "label": "on one core"},
                {"variant": "threads", "affinity": "free", "label": "on all cores"},
                {"variant": "threads", "affinity": "one", "label": "sharing a core"},
            ],
        ),
    ),
}

BUILT_IN = {
    name: replace(one, experiment=one.experiment.model_copy(update={"name": name, "question": one.question}))
    for name, one in _ALL.items()
}
"""By the name that ``POST /lab/experiments`` takes."""

EXPERIMENTS = {name: one.experiment for name, one in BUILT_IN.items()}
