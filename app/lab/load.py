"""What the generator is to do, and what it says of it: the two sides' common language, JSON a line.

Plain tuples: a model of pydantic's would be most of the time that the generator takes to start.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

BOUNDS = {
    "port": (1, 65_535),
    "clients": (1, 10_000),
    "size": (1, 16 * 1024 * 1024),
    "seconds": (0.001, 600),
    "warm_up": (0, 60),
    "rate": (0.001, 1e6),
    "think": (0, 60),
    "pipeline": (1, 1000),
    "slow": (0, 10_000),
    "silent": (0, 10_000),
}


class NoLoad(Exception):
    """A line has no load."""


class Load(NamedTuple):
    """Of one trial, in seconds and bytes.

    ``rate`` is messages a second of all clients together, and makes the loop an open one; without it, it is closed.
    ``think`` is between an answer and the next message; of a client that comes for one message (``churn``: a connection
    for each), how long it stays before it says it, and its latency is then that from its coming. ``pipeline`` messages
    of a client are on their way at once. Beside these, ``slow`` clients read 1 KiB in 0.1 s, ``silent`` ones say
    nothing.

    ``ending`` is a message's, ``prefix`` what the server puts before each piece. ``one_at_a_time``: the server has one
    client, and lets in the next when it goes. ``pid``: its process, if its processor time is to be counted.
    """

    port: int
    host: str = "127.0.0.1"
    clients: int = 50
    size: int = 1024
    seconds: float = 2.0
    warm_up: float = 0.5
    rate: float | None = None
    think: float = 0.0
    one_at_a_time: bool = False
    pipeline: int = 1
    churn: bool = False
    slow: int = 0
    silent: int = 0
    ending: str = "\n"
    pid: int | None = None
    prefix: str = ""

    @classmethod
    def read(cls, line: bytes) -> Load:
        """Raises:
        NoLoad: it is none; the message names the field.
        """
        try:
            load = cls(**json.loads(line))
        except (TypeError, ValueError) as reason:
            raise NoLoad(str(reason)) from None
        for name, (least, most) in BOUNDS.items():
            value = getattr(load, name)
            if not (least <= value <= most if value is not None else name == "rate"):
                raise NoLoad(f"{name} is {value}, and may be {least} to {most:,}")
        return load


class Done(NamedTuple):
    """Seconds, bytes, and counts; histograms as ``Histogram.told``.

    ``schedule`` is how late messages of an open loop were sent, ``unsent`` those that could not be. ``errors`` are by
    kind, ``by_client`` the messages of each. ``cpu`` is the generator's share of a processor, 0 to 1; ``server_cpu``
    seconds of one and ``switches`` of context are those of the server's process. ``limited``: why the generator, and
    not the server, was the limit.

    By the tenth of a second, ``heat`` has the messages by half octave of latency; ``series`` their number, and the
    worst latency.
    """

    seconds: float
    messages: int
    bytes: int
    latency: dict[str, Any]
    schedule: dict[str, Any]
    unsent: int
    errors: dict[str, int]
    connect_seconds: float
    cpu: float
    server_cpu: float | None
    switches: int | None
    limited: str | None
    by_client: list[int]
    heat: list[dict[int, int]]
    series: list[tuple[int, float]]
