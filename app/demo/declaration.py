"""The demo's servers: every variant, each on a fixed port."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import tomli_w

from servers import discover

PORT = 8000
"""The page's port. Step n of the tutorial has this port + n; the other variants have + 11 and higher."""

BEYOND = {"threads": 11, "asyncio-streams": 12, "asyncio-tuned": 13}
"""By name, so that a new variant moves none of them; it gets the port after the last."""


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
    """The ports that are taken already."""
    found = []
    for port in ports:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError:
                found.append(port)
    return found
