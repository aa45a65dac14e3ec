"""An etcd of one member for a fleet that is tried out: on loopback, in a folder of its own, gone with its starter."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.kernel.ports import free_ports

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h, prctl(2)."""


class NoEngine(Exception):
    """The message says what to do."""


def binary() -> str:
    """Raises:
    NoEngine: there is none.
    """
    beside = Path(sys.executable).parent
    found = shutil.which("etcd", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise NoEngine("there is no etcd here; `make fleet` fetches one, `apt-get install etcd-server` has it for good")
    return found


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[str]:
    """Yields its URL; it may need a second until it answers there.

    Raises:
        NoEngine: there is none.
    """
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def ends_with_us() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    process = await asyncio.create_subprocess_exec(
        binary(),
        *("--data-dir", str(folder / "etcd"), "--logger", "zap", "--log-level", "error"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        env={name: value for name, value in os.environ.items() if not name.startswith("ETCD_")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        process_group=0,
        preexec_fn=ends_with_us,
    )
    try:
        yield client
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 3)
            except TimeoutError:
                process.kill()
                await process.wait()
