"""What a process has used of the machine, by the kernel's account."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

CPUCLOCK_SCHED = 2
"""Of a process: clock_getcpuclockid(3) makes such a clock's number of a process's."""

T = TypeVar("T", int, float)


class Used(NamedTuple):
    """``seconds`` of a processor, and ``switches`` of its threads, since it began; None where nobody says."""

    seconds: float | None
    switches: int | None

    @classmethod
    def by(cls, pid: int | None) -> Used:
        if pid is None or sys.platform != "linux":
            return cls(None, None)
        switches = 0
        try:
            seconds = time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError), (thread / "status").open() as status:
                    switches += sum(int(line.split()[1]) for line in status if "ctxt_switches:" in line)
        except OSError:
            return cls(None, None)
        return cls(seconds, switches)

    def since(self, before: Used) -> Used:
        return Used(_between(before.seconds, self.seconds), _between(before.switches, self.switches))


def _between(first: T | None, last: T | None) -> T | None:
    return None if first is None or last is None else max(last - first, type(last)(0))
