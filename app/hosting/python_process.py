"""A process that runs a module of this program, and is gone when its context ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
RUN = "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; sys.exit(main(*sys.argv[2:]))"
"""Not with ``-m``: what is imported then depends on the folder and the environment."""


@asynccontextmanager
async def python_process(module: str, *arguments: str, **options: Any) -> AsyncIterator[Process]:
    """``options`` are those of ``asyncio.create_subprocess_exec``; nothing is read or shown without them.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", RUN.format(module), str(ROOT), *arguments),
        **{"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL, **options},
        start_new_session=True,  # Ctrl+C in the app's terminal is for the app
    )
    try:
        yield process
    finally:
        # Killed, as it has nothing to put in order. Not by ``Process.kill``: that asks for the exit status of one that
        # has just ended by itself, and takes it from asyncio, which waits for it.
        with suppress(ProcessLookupError):
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
        await process.wait()
