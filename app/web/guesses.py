"""How many wrong tokens one may try: each wrong one is a guess, and only so many different ones are looked at."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2s

from app.errors import TooManyGuesses

MOST_OF_ONE = 10
"""Different wrong tokens from one address within ``WINDOW``."""

MOST_OF_ALL = 1000
"""The same, from all addresses together."""

WINDOW = 60.0
"""Seconds for which a guess counts."""

MOST_KNOWN = 10_000


class Guesses:
    """What was right from an address before is let in whatever others guess from there: they may share it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0
        self._now = now
        self._wrong: OrderedDict[bytes, tuple[str, float]] = OrderedDict()  # the oldest first
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, token: str) -> None:
        """Raises:
        TooManyGuesses: too many different ones were wrong lately; this one is not looked at.
        """
        self._forget_old()
        peer = _peer(address)
        key = _key(peer, token)
        if key in self._right or key in self._wrong:
            return
        of_one = sum(one == peer for one, _ in self._wrong.values())
        if of_one < MOST_OF_ONE and len(self._wrong) < MOST_OF_ALL:
            return
        self.refused += 1
        raise TooManyGuesses(
            f"Too many different tokens were wrong; try again in {WINDOW:g} s.", headers={"Retry-After": f"{WINDOW:g}"}
        )

    def note(self, address: str, token: str, right: bool) -> None:
        key = _key(_peer(address), token)
        if right:
            self._wrong.pop(key, None)
            self._right[key] = None
            self._right.move_to_end(key)
            if len(self._right) > MOST_KNOWN:
                self._right.popitem(last=False)
        elif key not in self._wrong:
            self._right.pop(key, None)
            self._wrong[key] = (_peer(address), self._now())

    def _forget_old(self) -> None:
        oldest = self._now() - WINDOW
        while self._wrong and next(iter(self._wrong.values()))[1] < oldest:
            self._wrong.popitem(last=False)


def _peer(address: str) -> str:
    """Of an IPv6 address its network: who has one has all of them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _key(peer: str, token: str) -> bytes:
    return blake2s(f"{peer} {token}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
