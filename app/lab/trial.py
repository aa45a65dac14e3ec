"""One trial: the generator beside a server, and what both used."""

from __future__ import annotations

import asyncio
import json
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

from app.experiments.experiment import Experiment, Planned
from app.experiments.histogram import Histogram
from app.experiments.result import Neighbour, Trial
from app.experiments.statistics import percentiles
from app.hosting.python_process import python_process
from app.lab.affinity import Cores, cores_of, pin
from app.lab.load import Done, Load
from app.lab.machine import Usage, others, usage
from app.lab.target import NotMeasured, Target, resident

OTHERS = 0.15
"""Of a processor: what others used beyond that spoils a trial."""

SUSTAINED = 0.98
"""Of the offered rate: what stays below did not sustain it."""

PATIENCE = 30.0
"""Seconds that a trial may take beside its own time, until the generator is given up."""

MOST_LINE = 64 * 1024 * 1024


@asynccontextmanager
async def _generator(load: Load, cores: Cores | None) -> AsyncIterator[Process]:
    try:
        async with python_process("app.lab.generator", stdin=PIPE, stdout=PIPE, limit=MOST_LINE) as process:
            assert process.stdin
            if cores:
                pin(process.pid, cores.generator)
            process.stdin.write(json.dumps(load._asdict()).encode() + b"\n")
            await process.stdin.drain()
            yield process
    except (BrokenPipeError, ConnectionResetError):
        raise NotMeasured(f"the generator has ended with {process.returncode}") from None


async def _events(process: Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout
    while (line := await process.stdout.readline()).endswith(b"\n"):  # else it ended before it, or within it
        event = json.loads(line)
        if event["event"] == "failed":
            raise NotMeasured(f"the generator could not: {event['reason']}")
        yield event
    raise NotMeasured(f"the generator has ended with {await process.wait()}")


def load_of(experiment: Experiment, planned: Planned, target: Target) -> Load:
    return Load(
        host=target.host,
        port=target.port,
        **experiment.at(planned.value),
        seconds=experiment.seconds,
        warm_up=experiment.warm_up,
        pipeline=1 if target.hangs_up else experiment.pipeline,
        churn=experiment.churn or target.hangs_up,
        slow=experiment.slow,
        silent=experiment.silent,
        ending=target.ending,
        prefix=target.prefix,
        one_at_a_time=target.one_at_a_time,
        pid=target.pid,
    )


async def measure(experiment: Experiment, planned: Planned, target: Target, cores: Cores | None, fresh: bool) -> Trial:
    """The generator is pinned to its ``cores``; the server was to its own, if it is the lab's. ``fresh``: the server's
    process has had no clients before, so that its memory is that of these.

    Raises:
        NotMeasured: the generator or the server failed.
    """
    load = load_of(experiment, planned, target)
    server_cores = cores_of(target.pid)  # before it has a thread for each client
    before_clients = resident(target.pid) if target.pid and fresh else None
    connections = load.clients + load.slow + load.silent
    memory: float | None = None
    looks: list[Usage | None] = []
    took = load.warm_up + load.seconds
    async with _generator(load, cores) as process, _patient(took + PATIENCE):
        generator_cores = cores_of(process.pid)
        async for event in _events(process):
            match event["event"]:
                case "counting" | "counted" as which:
                    looks.append(usage(time.monotonic()))
                    # Not when the generator is connected: the server may not have accepted all of them by then.
                    if which == "counted" and before_clients is not None and target.pid:
                        memory = _grown(target.pid, before_clients) / connections
                case "done":
                    done = Done(**{name: value for name, value in event.items() if name != "event"})
                    break
        generator = process.pid
    share: float | None = None
    neighbours: list[Neighbour] = []
    if len(looks) == 2 and looks[0] and looks[1]:
        share, neighbours = others(looks[0], looks[1], {generator, *filter(None, [target.pid])})
    return _trial(experiment, planned, load, done).model_copy(
        update={
            "server_cores": server_cores,
            "generator_cores": generator_cores,
            "memory_per_connection": memory,
            "others": None if share is None else round(share, 3),
            "neighbours": neighbours,
            "spoiled": share is not None and share > OTHERS,
        }
    )


def _grown(pid: int, before: int) -> int:
    """Bytes of memory that a process has more than before; 0 if it has ended."""
    return max(0, (resident(pid) or 0) - before)


@asynccontextmanager
async def _patient(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise NotMeasured(f"the generator was not done after {seconds:.0f} seconds") from None


def _trial(experiment: Experiment, planned: Planned, load: Load, done: Done) -> Trial:
    messages, seconds = done.messages, done.seconds
    rate = messages / seconds
    ordered = sorted(done.by_client)
    return Trial(
        variant=experiment.labels[planned.subject],
        factor=planned.value,
        round=planned.round,
        messages=messages,
        msgs_per_s=round(rate, 1),
        bytes_per_s=round(done.bytes / seconds, 1),
        **percentiles(Histogram.of(done.latency)),
        errors=done.errors,
        unsent=done.unsent,
        sustained=load.rate is None or rate >= load.rate * SUSTAINED,
        server_cpu=None if done.server_cpu is None else round(done.server_cpu, 6),
        server_share=None if done.server_cpu is None else round(done.server_cpu / seconds, 4),
        cpu_us_per_message=round(done.server_cpu / messages * 1e6, 2) if done.server_cpu and messages else None,
        generator_cpu=round(done.cpu * seconds, 6),
        generator_limited=done.limited,
        lag_p99_ms=None,
        memory_per_connection=None,
        context_switches=done.switches,
        others=None,
        neighbours=[],
        spoiled=False,
        attempts=1,
        by_client={"least": ordered[0], "median": median(ordered), "most": ordered[-1]},
        affinity=experiment.affinity_of(planned.subject),
        server_cores=None,
        generator_cores=None,
        histogram=done.latency,
        series=done.series,
        heat=done.heat,
    )
