"""Experiments, one at a time: begun, followed, cancelled, and kept."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.clock import Clock
from app.errors import Invalid, LabBusy, Refusal, ShuttingDown, TargetNotAllowed, Unknown
from app.experiments.experiment import Experiment, Impossible, Planned, plan
from app.experiments.result import NoResult, State, Trial
from app.experiments.run import CUT, Run
from app.history.schema import Packed, Statement, drop_result, put_result
from app.history.store import Store
from app.hosting.server_host import HostFailed, InProcessHost, ServerHost
from app.hosting.subprocess_host import subprocess_host
from app.kernel.descriptors import RESERVE
from app.lab import machine
from app.lab.affinity import Cores, cores_for, pin, usable_cores, with_affinity
from app.lab.target import NotMeasured, foreign, spec_of, target_of
from app.lab.trial import measure
from app.supervising.supervisor import Supervisor
from app.web.security import is_loopback

log = logging.getLogger("echodeck.lab")

MOST_KEPT = 50
REPEATS = 2
"""Of a trial that others spoiled."""

SAVE_EVERY = 2.0
"""Seconds between two savings of what is not done yet."""


class Laboratory:
    """``targets``: whether servers of other machines may be measured. ``loop`` is the kind that runs here."""

    def __init__(
        self, supervisor: Supervisor, store: Store, *, targets: bool = False, loop: str = "asyncio", version: str = ""
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._targets = targets
        self._loop = loop
        self._version = version
        self._clock = Clock()
        self._runs: dict[str, Run] = {}
        self._last = 0
        self._closing = False
        self._cores: list[int] = []
        self._task: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()
        self._ends_as: State = "cancelled"

    def remember(self) -> None:
        """Begin with what was kept of earlier lives; what was not done then, was cut."""
        self._store.owners.append(self._statements)
        kept, self._store.results = self._store.results, []
        for one in kept:
            try:
                run = Run.unpacked(self._id(one.number), one.number, one.packed)
                if not run.over:
                    run.cut()
                    self._store.put(put_result(Packed(run.number, run.packed)))
            except NoResult as reason:
                log.error("the result %d cannot be read and is forgotten: %s", one.number, reason)
                self._store.put(drop_result(one.number))
                continue
            self._runs[run.id] = run
            self._last = max(self._last, one.number)

    # What there is

    def runs(self) -> list[Run]:
        """The newest first."""
        return sorted(self._runs.values(), key=lambda run: -run.number)

    def run(self, id: str) -> Run:
        """Raises:
        Unknown: there is none.
        """
        if id not in self._runs:
            raise Unknown(f"There is no experiment {id!r}; it may have been forgotten.", what="experiment")
        return self._runs[id]

    # What is done

    async def begin(self, experiment: Experiment) -> Run:
        """Raises:
        Invalid, TargetNotAllowed: it cannot be measured.
        LabBusy: another one is being measured.
        """
        usable = await asyncio.to_thread(usable_cores)
        if self._closing:
            raise ShuttingDown("The app is shutting down.")
        experiment = self._checked(experiment, usable)
        busy = next((run for run in self._runs.values() if not run.over), None)
        if busy is not None:
            raise LabBusy(
                f"Experiment {busy.id} is being measured, for about {busy.seconds_left:.0f} s more; one at a time, or "
                "each would be the other's noise.",
                experiment=f"/lab/experiments/{busy.id}",
            )
        self._cores = usable
        self._last += 1
        facts = machine.facts(self._loop, self._version)
        run = Run(self._id(self._last), self._last, experiment, facts, self._clock.wall())
        self._runs[run.id] = run
        self._store.put(put_result(Packed(run.number, run.pack())))
        self._finished = asyncio.Event()
        self._task = asyncio.create_task(self._measure(run), name=f"lab: experiment {run.id}")
        self._trim()
        await self._store.flush()
        return run

    async def wait_for_end(self, run: Run, seconds: float) -> None:
        """Return when the run that was begun last is over, or after some seconds."""
        if not run.over:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), seconds)

    async def end(self, id: str) -> None:
        """Cancel it, or forget it if it is over.

        Raises:
            Unknown: there is none.
        """
        run = self.run(id)
        if run.over:
            self._forget(run)
        else:
            await self._break_off(run, "cancelled", "it was cancelled")

    async def close(self) -> None:
        """The app ends: nothing goes on, and what was being measured is kept as cut."""
        self._closing = True
        for run in [one for one in self._runs.values() if not one.over]:
            await self._break_off(run, "cut", CUT)

    async def _break_off(self, run: Run, state: State, reason: str) -> None:
        """Once: who cancels what is being cleaned up would leave something running."""
        assert self._task
        if run.reason is None:
            run.reason = reason
            self._ends_as = state
            self._task.cancel()
        await asyncio.wait({self._task})
        if not run.over:  # it had not even begun
            await self._finish(run, state)

    def _checked(self, experiment: Experiment, usable: list[int]) -> Experiment:
        """With its affinity, if it can be measured."""
        try:
            experiment.check(self._supervisor.variants)
            self._check_descriptors(experiment)
            experiment = with_affinity(experiment, usable)
        except Impossible as reason:
            errors = [{"field": reason.field, "message": str(reason)}]
            raise Invalid(f"{reason.field}: {reason}", field=reason.field, errors=errors) from None
        where = experiment.compare_with
        if where is not None and not self._targets and not is_loopback(foreign(where).host):
            raise TargetNotAllowed(
                f"{where} is not on loopback: load is sent to other machines only by an app that was started with "
                "--lab-targets.",
                field="compare_with",
            )
        return experiment

    def _check_descriptors(self, experiment: Experiment) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = 2 * RESERVE
        if most != resource.RLIM_INFINITY and experiment.most_clients + spare > most:
            raise Impossible(
                "clients",
                f"A process may open {most:,} files here (ulimit -Hn), so {max(0, most - spare):,} clients in all go; "
                f"these are {experiment.most_clients:,}.",
            )

    # Measuring

    async def _measure(self, run: Run) -> None:
        run.state, run.began = "running", time.monotonic()
        run.version += 1
        saved = 0.0
        try:
            async with self._host(run.experiment) as host:
                for planned in plan(run.experiment):
                    run.add(await self._trial(run, planned, host))
                    if time.monotonic() - saved > SAVE_EVERY:
                        saved = time.monotonic()
                        await self._save(run)
            state: State = "done"
        except asyncio.CancelledError:
            state = self._ends_as
        except (NotMeasured, HostFailed, Refusal) as reason:
            state, run.reason = "failed", str(reason)
        except Exception as error:
            log.exception("experiment %s failed", run.id)
            state, run.reason = "failed", f"{type(error).__name__}; the app's log says more"
        await self._finish(run, state)

    async def _finish(self, run: Run, state: State) -> None:
        run.state, run.ended = state, self._clock.wall()
        self._finished.set()
        run.version += 1
        await self._save(run)

    @asynccontextmanager
    async def _host(self, experiment: Experiment) -> AsyncIterator[ServerHost | None]:
        """None where each trial needs a process that has had no clients."""
        if experiment.in_ == "here":
            yield InProcessHost(self._supervisor)
        elif experiment.silent or not experiment.variants:
            yield None
        else:
            async with subprocess_host(self._loop) as host:
                yield host

    async def _trial(self, run: Run, planned: Planned, host: ServerHost | None) -> Trial:
        """Repeated while others spoil it, for a while."""
        for attempt in range(1, REPEATS + 2):
            trial = await self._once(run.experiment, planned, host)
            trial = trial.model_copy(update={"attempts": attempt})
            if not trial.spoiled or attempt > REPEATS:
                break
            run.repeated += 1
        return trial

    async def _once(self, experiment: Experiment, planned: Planned, host: ServerHost | None) -> Trial:
        cores = cores_for(experiment.affinity_of(planned.subject), self._cores)
        if planned.subject >= len(experiment.variants):
            assert experiment.compare_with
            return await measure(experiment, planned, foreign(experiment.compare_with), cores, fresh=False)
        if host is None:
            async with subprocess_host(self._loop) as own:
                return await self._of_variant(experiment, planned, own, cores, fresh=True)
        return await self._of_variant(experiment, planned, host, cores, fresh=False)

    async def _of_variant(
        self, experiment: Experiment, planned: Planned, host: ServerHost, cores: Cores | None, fresh: bool
    ) -> Trial:
        varied = experiment.variants[planned.subject]
        variant = self._supervisor.variant(varied.variant)
        if cores and experiment.in_ == "apart":
            pin(host.pid, cores.server)  # before the server has threads, which inherit it
        names = []
        try:
            if varied.beside:
                beside = await host.start(spec_of(self._supervisor.variant(varied.beside), {}))
                names.append(beside.name)
            server = await host.start(spec_of(variant, experiment.settings | varied.settings))
            names.append(server.name)
            target = target_of(variant, server.host, server.port, host.pid)
            trial = await measure(experiment, planned, target, cores, fresh)
            return trial.model_copy(update={"lag_p99_ms": await host.lag()})
        finally:
            for name in names if not fresh else ():  # a fresh host ends now, with its servers
                with suppress(HostFailed):
                    await host.stop(name)

    # Keeping

    def _id(self, number: int) -> str:
        return self._supervisor.chronicle.id(number)

    async def _save(self, run: Run) -> None:
        packed = await asyncio.to_thread(run.pack)  # of many trials that takes a while
        if run.id in self._runs:
            self._store.put(put_result(Packed(run.number, packed)))

    def _trim(self) -> None:
        over = [run for run in self.runs() if run.over]
        for run in over[MOST_KEPT - 1 :]:
            self._forget(run)

    def _forget(self, run: Run) -> None:
        del self._runs[run.id]
        self._store.put(drop_result(run.number))

    def _statements(self) -> list[Statement]:
        """Those that write down all of it."""
        return [put_result(Packed(run.number, run.packed)) for run in list(self._runs.values()) if run.packed]
