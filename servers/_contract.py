"""What a variant is given, and what it declares."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class Options:
    """The part of a server's settings that its variant reads; a change takes effect at the next read.

    ``recv_size`` is the most bytes taken by one ``recv``; ``max_buffer`` the most bytes collected for one client before
    that client is given up.
    """

    recv_size: int = 65536
    max_buffer: int = 1_048_576


@dataclass(frozen=True)
class Wire:
    """What a client can expect.

    ``answers``: nothing at all, everything collected once it ends with ``quit`` and a newline, or each chunk as it
    comes. ``clients``: how many in the server's life, or how many at a time. ``hangs_up``: closes after the answer.
    ``prefix`` comes before each answer; ``boom`` raises on a chunk that is exactly ``boom`` and a newline.
    """

    answers: Literal["nothing", "until quit", "each chunk"] = "each chunk"
    clients: Literal["one in all", "one at a time", "all at once"] = "all at once"
    hangs_up: bool = False
    prefix: bytes = b""
    boom: bool = False
