"""What is measured: a server of a variant, or a foreign one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.experiments.experiment import ADDRESS
from servers import Variant

BACKLOG = 4096


class NotMeasured(Exception):
    """A trial cannot be; the message says why."""


@dataclass(frozen=True)
class Target:
    """Where a trial's clients go. ``pid`` is the process whose processor time is the server's."""

    host: str
    port: int
    pid: int | None
    ending: Literal["\n", "quit\n"] = "\n"
    prefix: str = ""
    hangs_up: bool = False
    one_at_a_time: bool = False


def spec_of(variant: Variant, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"variant": variant.name, "port": 0, "backlog": BACKLOG, "restart": "never", **settings}


def target_of(variant: Variant, host: str, port: int, pid: int) -> Target:
    wire = variant.wire
    ending: Literal["\n", "quit\n"] = "quit\n" if wire.answers == "until quit" else "\n"
    return Target(host, port, pid, ending, wire.prefix.decode(), wire.hangs_up, wire.clients == "one at a time")


def foreign(address: str) -> Target:
    found = ADDRESS.fullmatch(address)
    assert found
    return Target(found["host"].strip("[]"), int(found["port"]), None)


def resident(pid: int) -> int | None:
    """Bytes of a process's memory that are in the machine's."""
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None
