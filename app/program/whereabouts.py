"""Where the apps of this user on this machine are, said by each in a way that needs no file and ends with it.

An abstract socket's name (unix(7)) belongs to a process, can be read by all in /proc/net/unix, and is gone however the
process ends: the address is in the name, beside a mark of the state file, and nothing ever connects to it.
"""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SIGN = "echodeck/"


@contextmanager
def announced(url: str, state: Path | None) -> Iterator[None]:
    """For as long as this lasts, ``found`` finds it; unless the system has no such names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sign:
        with suppress(OSError):
            sign.bind(f"\0{_SIGN}{os.getpid()}/{_mark(state)}/{url}".encode())
        yield


def found(state: Path | None = None) -> list[str]:
    """The addresses of this user's apps, in no order; of the one that keeps this state file, if one is given."""
    try:
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [url for line in lines if (url := _address_in(line, None if state is None else _mark(state)))]


def _mark(state: Path | None) -> str:
    """Short, as a socket's name is bounded; the same for each way to write the path.

    Raises:
        OSError: the path is relative, and the working directory was removed.
    """
    return "-" if state is None else f"{zlib.crc32(os.fsencode(os.path.realpath(state))):08x}"


def _address_in(line: str, mark: str | None) -> str | None:
    _, sign, rest = line.partition(f" @{_SIGN}")
    process, _, rest = rest.partition("/")
    marked, _, url = rest.partition("/")
    if not sign or not process.isdecimal() or not url or (mark is not None and marked != mark):
        return None
    try:
        own = Path(f"/proc/{process}").stat().st_uid == os.geteuid()  # another user could say anything
    except OSError:
        return None
    return url if own else None
