"""What the demo shows: every variant that there is, each on a port that tells which it is."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import tomli_w

from servers import discover

PORT = 8000
"""The page's. Step n of the tutorial is n after it, and what goes beyond the tutorial from 11 after it on."""

BEYOND = {"threads": 11, "asyncio-streams": 12, "asyncio-tuned": 13}
"""Given by name, so that a new variant moves none of them; it comes after the last."""


def declaration(first: int = PORT, host: str = "127.0.0.1") -> list[dict[str, Any]]:
    """The servers, as in ``POST /servers``; the page has port ``first``."""
    declared = []
    free = max(BEYOND.values()) + 1
    for variant in discover().values():
        place = variant.step or BEYOND.get(variant.name, free)
        if place == free:
            free += 1
        entry: dict[str, Any] = {"variant": variant.name, "port": first + place, "host": host}
        if variant.wire.clients == "one in all":
            entry["restart"] = "always"
        declared.append(entry)
    return sorted(declared, key=lambda entry: int(entry["port"]))


def as_toml(first: int = PORT, host: str = "127.0.0.1") -> str:
    """For ``serve --config``."""
    return "\n".join(f"[[server]]\n{tomli_w.dumps(entry)}" for entry in declaration(first, host))


def taken(ports: Iterable[int], host: str = "127.0.0.1") -> list[int]:
    """Those on which something listens already."""
    found = []
    for port in ports:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError:
                found.append(port)
    return found
