"""CPU affinity: on which cores the measured server and the generator run (sched_setaffinity(2)).

A ranking of variants depends on it: Python's threads are slower on two cores than on one, as the interpreter's lock is
then handed from core to core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from app.experiments.experiment import Affinity, Experiment, Impossible
from app.lab.target import NotMeasured


class Cores(NamedTuple):
    """Of a trial."""

    server: frozenset[int]
    generator: frozenset[int]


def usable_cores() -> list[int]:
    """Cores to which this app can pin processes; none where it cannot. Not for the loop's thread, whose own affinity
    it sets, to what that is.
    """
    if sys.platform != "linux":
        return []
    try:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # a sandbox may forbid it
    except (AttributeError, OSError):
        return []
    return sorted(cores)


def with_affinity(experiment: Experiment, usable: Sequence[int]) -> Experiment:
    """The experiment, with the default of these cores where it has no affinity.

    Raises:
        Impossible: it has one that cannot be set.
    """
    here = experiment.in_ == "here"
    own = [(f"variants.{number}.affinity", one.affinity) for number, one in enumerate(experiment.variants)]
    for field, affinity in [("affinity", experiment.affinity), *own]:
        if affinity in (None, "free"):
            continue
        if here:
            raise Impossible(
                field, "The process of in = 'here' is this app's, and stays on its cores: affinity = 'free'."
            )
        if not usable:
            raise Impossible(field, "Processes cannot be pinned to cores on this system: affinity = 'free'.")
        if affinity == "apart" and len(usable) < 2:
            raise Impossible(
                field, "This app may use one core, so server and generator cannot have one each: affinity = 'one'."
            )
    default: Affinity = "free" if here or not usable else "one" if len(usable) < 2 else "apart"
    return experiment.model_copy(update={"affinity": experiment.affinity or default})


def _siblings(core: int) -> str:
    """The same of logical cores that are hardware threads of one core (Linux: admin-guide/cputopology.rst)."""
    with suppress(OSError):
        return Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
    return str(core)


def cores_for(affinity: Affinity, usable: Sequence[int], siblings: Callable[[int], str] = _siblings) -> Cores | None:
    """None where processes cannot be pinned. ``usable`` has two cores or more for ``apart``."""
    if not usable:
        return None
    if affinity == "free":
        return Cores(frozenset(usable), frozenset(usable))
    first, *others = usable
    if affinity == "one":
        return Cores(frozenset({first}), frozenset({first}))
    other = next((core for core in others if siblings(core) != siblings(first)), others[0])
    return Cores(frozenset({first}), frozenset({other}))


def pin(pid: int, cores: Collection[int]) -> None:
    """Restrict all threads of a process to these cores; those that it starts later inherit it. Nothing is done to a
    process that has ended.

    Raises:
        NotMeasured: the kernel refuses.
    """
    pinned: set[int] = set()
    while new := _threads(pid) - pinned:  # again, as a thread may start another one meanwhile
        for thread in new:
            try:
                os.sched_setaffinity(thread, cores)
            except ProcessLookupError:
                pass
            except OSError as reason:
                listed = ", ".join(map(str, sorted(cores)))
                raise NotMeasured(f"a process could not be pinned to core {listed}: {reason.strerror}") from None
        pinned |= new


def cores_of(pid: int | None) -> list[int] | None:
    """On which a process's threads may run; None where that is unknown."""
    found: set[int] = set()
    for thread in _threads(pid) if pid else ():
        with suppress(OSError):
            found |= os.sched_getaffinity(thread)
    return sorted(found) or None


def _threads(pid: int) -> set[int]:
    with suppress(OSError):
        return {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()}
    return set()
