"""The process that the app ends with, whatever that process dies of.

Not a pipe that closes with it: what the process forked would hold the pipe's other end, too. Not PR_SET_PDEATHSIG of
prctl(2), which fires as soon as the thread ends that started the app.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time

log = logging.getLogger("echodeck.starter")

LOOK_SECONDS = 0.25
"""Between two looks, where the kernel has no descriptors of processes (pidfd_open(2))."""

SECONDS_TO_END = 6.0
"""For an orderly end; then, if the loop does not turn any more, the app ends at once."""


class AlreadyEnded(Exception):
    """There is no process with this number any more; the message says so."""


def end_with(process: int) -> None:
    """From now on this process ends, as at SIGTERM, when that one ends.

    Raises:
        AlreadyEnded: it has ended.
    """
    try:
        os.kill(process, 0)
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        raise AlreadyEnded(f"process {process}, with which this app is to end, has ended") from None
    except (OSError, AttributeError):  # an older kernel, another system, or it is somebody else's
        descriptor = None
    threading.Thread(target=_watch, args=(process, descriptor), name="starter", daemon=True).start()


def _watch(process: int, descriptor: int | None) -> None:
    if descriptor is not None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    else:
        child = process == os.getppid()
        while os.getppid() == process if child else _is_there(process):
            time.sleep(LOOK_SECONDS)
    log.warning("process %d has ended, and so does this app", process)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(128 + signal.SIGTERM)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
