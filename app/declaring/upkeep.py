"""The servers as a file declares them (``serve --config``): at the start, and whenever the app is told to look again.

What the file says is made so; servers that it never declared are left alone, and those that it declared when it was
last read but no longer does are removed. A server that cannot be had does not keep the others from running: it is
there, and the journal says why; while somebody else has its port it waits, else the next reading tries again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from app.declaring import declared, plan
from app.declaring.declared import Undeclarable
from app.declaring.plan import Course, Kind, Plan, Present, Step
from app.errors import NotKept, Refusal
from app.loop.worker import Worker
from app.supervising.lifecycle import State
from app.supervising.spec import ServerPatch, ServerSpec
from app.supervising.supervisor import Supervisor

log = logging.getLogger("echodeck.config")


class Upkeep:
    """Without a ``file`` it has nothing to do. Close it before its supervisor."""

    def __init__(self, supervisor: Supervisor, file: Path | None) -> None:
        self._supervisor = supervisor
        self._file = file
        self._read: list[ServerSpec] | None = None
        self._declared: frozenset[str] = frozenset()
        self._looking_again: asyncio.Task[None] | None = None
        self._wanted = False
        self._one_at_a_time = asyncio.Lock()

    def read(self) -> None:
        """Raises:
        Undeclarable: the file cannot be read, or is invalid.
        """
        if self._file is not None:
            self._read = self._contents(self._file)

    async def begin(self) -> None:
        """Make it as the file says, which was read before or is now; return when all was done or tried.

        Raises:
            Undeclarable: as ``read``.
        """
        if self._read is None:
            self.read()
        if self._read is not None:
            async with self._one_at_a_time:
                await self._follow(self._read)

    def look_again(self) -> asyncio.Task[None] | None:
        """Soon, read the file anew and do what it says; call it on the loop, in nobody's context. Returns the task that
        does so; None without a file."""
        if self._file is None:
            log.info("there is no configuration to read again; start the app with --config FILE to have one")
            return None
        self._wanted = True
        if self._looking_again is None or self._looking_again.done():
            self._looking_again = asyncio.create_task(self._look_again(self._file), name="configuration")
        return self._looking_again

    async def close(self) -> None:
        """A reading that is under way, of a pipe perhaps, is not waited for."""
        if self._looking_again is not None:
            self._looking_again.cancel()
            await asyncio.wait({self._looking_again})

    # How

    def _contents(self, file: Path) -> list[ServerSpec]:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise Undeclarable([f"{file}: cannot be read: {error.strerror or error}"]) from None
        return declared.read(content, str(file), self._supervisor.variants)

    async def _look_again(self, file: Path) -> None:
        async with self._one_at_a_time:
            while self._wanted and not self._supervisor.closing:
                self._wanted = False
                log.info("reading %s again", file)
                worker = Worker(f"read {file}", lambda: self._contents(file))
                try:
                    worker.start()
                    specs = await worker.ended
                except Undeclarable as reason:
                    for line in reason.errors:
                        log.error("%s", line)
                    log.error("nothing was changed: %s cannot be used", file)
                except Exception:
                    log.exception("%s could not be read", file)
                else:
                    await self._follow(specs)

    async def _follow(self, specs: list[ServerSpec]) -> None:
        names = {spec.name for spec in specs if spec.name}
        made = plan.make(specs, present(self._supervisor), self._declared - names)
        course = await self._carry_out(made)
        still_there = {name for kind, name in course.undone if kind is Kind.REMOVE}
        self._declared = frozenset(names | still_there)
        if course.undone:
            log.warning("%s: %d of %d steps could not be done", self._file, len(course.undone), len(made.steps))
        else:
            log.info("%s: %s", self._file, f"{len(made.steps)} steps done" if made.steps else "nothing to do")

    async def _carry_out(self, made: Plan) -> Course:
        course = Course()
        for _, steps in itertools.groupby(made.steps, lambda step: step.kind):
            await asyncio.gather(*(self._try(step, course) for step in steps))
        return course

    async def _try(self, step: Step, course: Course) -> None:
        if self._supervisor.closing:
            course.undone[step.key] = "the app is ending"
            return
        reason = course.hindrance(step)
        if reason is None:
            try:
                await self._do(step)
            except NotKept as warning:
                log.error("%s %s: %s", plan.DONE[step.kind], step.name, warning.detail)
            except _NotYet as why:
                reason = str(why)
            except Refusal as refusal:
                reason = refusal.detail
                if step.kind in {Kind.CREATE, Kind.CHANGE}:  # of a start, the server itself tells
                    with suppress(Exception):
                        self._supervisor.chronicle.note(step.name, f"cannot be made as declared: {reason}")
            except Exception:
                log.exception("cannot %s %s", step.kind, step.name)
                reason = "a bug in the app"
        if reason is None:
            log.info("%s %s", plan.DONE[step.kind], step.name)
        else:
            course.undone[step.key] = reason
            log.error("cannot %s %s: %s", step.kind, step.name, reason)

    async def _do(self, step: Step) -> None:
        match step.kind:
            case Kind.REMOVE:
                await self._supervisor.remove(step.name)
            case Kind.STOP:
                await self._supervisor.stop(step.name)
            case Kind.CHANGE:
                await self._supervisor.change(step.name, ServerPatch.model_validate(step.changes))
            case Kind.CREATE:
                assert step.spec
                await self._supervisor.create(step.spec)
            case Kind.START:
                server = await self._supervisor.keep(step.name)
                if server.exit and server.state in {State.BACKOFF, State.CRASHED, State.FAILED}:
                    raise _NotYet(server.exit.message)


class _NotYet(Exception):
    """It does not run; the message says why. What is to be done about it, its policy knows."""


def present(supervisor: Supervisor) -> Iterable[Present]:
    """The servers as they are now."""
    for server in supervisor.servers():
        ended = server.exit.message if server.exit else ""
        yield Present(server.name, server.spec, server.state, server.desired, ended)
