"""All the servers of the app, by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import ExitStack

from pydantic import ValidationError

from app.clock import Clock
from app.connections.roster import Roster
from app.connections.table import ConnectionTable
from app.errors import Invalid, NameTaken, Refusal, ShuttingDown, Unknown
from app.history.chronicle import Chronicle
from app.history.schema import Statement, put_boots
from app.history.series import SeriesBook
from app.history.store import Store
from app.loop.ownership import tracking
from app.loop.sampler import Sampler
from app.supervising.listening import Holder, Policy, check, listen
from app.supervising.precondition import UNCONDITIONAL, IfMatch
from app.supervising.registry import Registry, StateFile, saved
from app.supervising.server import Desired, Server, Surroundings
from app.supervising.spec import ON_NODE, ServerPatch, ServerSpec
from servers import Listener, Variant

log = logging.getLogger("echodeck.supervisor")

ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104  # compared with, not bound to


class Supervisor:
    """Open it with ``open`` on the loop that is to run the servers, close it with ``close``.

    ``page_at`` is where the app itself listens, as IP addresses and ports, so that a conflict with it can be named.
    ``broken`` says of files that should be variants what is wrong with them. ``node`` is the name of this app in a
    fleet, empty for one alone; ``serves_on`` the address for servers whose host is ``node``.
    """

    def __init__(
        self,
        variants: Mapping[str, Variant],
        policy: Policy,
        store: Store,
        *,
        stop_grace: float = 2.0,
        clock: Clock | None = None,
        node: str = "",
        serves_on: str = "127.0.0.1",
    ) -> None:
        self.node = node
        self.variants = variants
        self.policy = policy
        self.closing = False
        self.stopped = False
        self.roster = Roster(node)
        self.sampler = Sampler()
        self._opened = False
        self.page_at: list[tuple[str, int]] = []
        self.broken: dict[str, str] = {}
        self._store = store
        self._servers: dict[str, Server] = {}
        self._serves_on = serves_on
        self._state_file = StateFile(store)
        self.registry: Registry = self._state_file
        self._to_resume: list[Server] = []
        self._clock = clock or Clock()
        self.chronicle = Chronicle(store, self._clock, self.roster.id, node)
        self.series = SeriesBook(store)
        self.connections = ConnectionTable(self.roster, self.chronicle.note, self._queues)
        self._around = Surroundings(
            clock=self._clock,
            stop_grace=stop_grace,
            variant=self.variant,
            listen=self._listen,
            chronicle=self.chronicle,
            roster=self.roster,
            share=self.sampler.share_of,
            save=self._save,
            permit=lambda: self.registry.permit,
            host=self._host,
            node=node,
            closing=lambda: self.closing,
        )
        self._undo = ExitStack()

    @property
    def trouble(self) -> str | None:
        """What the app's user should know of its state file; None while all is well."""
        return self._store.failure

    # Reading

    def variant(self, name: str) -> Variant:
        """Raises:
        Unknown: there is no such variant.
        """
        try:
            return self.variants[name]
        except KeyError:
            raise Unknown(f"There is no variant {name!r}.", what="variant", known=list(self.variants)) from None

    def server(self, name: str) -> Server:
        """Raises:
        Unknown: there is no such server.
        NobodyRunsIt: another node has it, or is about to.
        """
        try:
            return self._servers[name]
        except KeyError:
            raise self.registry.not_here(name) from None

    def has(self, name: str) -> bool:
        return name in self._servers

    def servers(self, after: int = 0) -> list[Server]:
        """In the order of creation; only those whose serial is greater than ``after``."""
        return [server for server in self._servers.values() if server.serial > after]

    # Commands

    async def create(self, spec: ServerSpec) -> Server:
        """Return when the new server listens (or at once, if it is not to start).

        Raises:
            Refusal: why not; nothing was created then.
        """
        self._check_open()
        self.registry.check()
        self.registry.check_on(spec.on)
        self._check_variant(spec.variant)
        if spec.name:
            self._check_free(spec.name)
        listener = None
        if spec.start:
            listener = await self._listen(spec)
            spec = spec.model_copy(update={"port": listener.getsockname()[1]})
        else:
            spec = await self._settle(spec)
        try:
            self._check_open()
            name = spec.name or self.registry.name_for(spec.variant, spec.port)
            self._check_free(name)
            spec = spec.model_copy(update={"name": name})
            async with self.registry.adding(name, spec, "running" if spec.start else "stopped") as added:
                self._check_free(name)
                server = self._servers[name] = Server(added.serial, name, spec, self._around)
                server.epoch = added.epoch
                self.series.catch_up()
        except BaseException:
            if listener is not None:
                listener.close()
            raise
        self._note(name, "was created")
        self._save(server)
        if listener is not None:
            server.begin(listener)
        await self._flush()
        return server

    async def start(self, name: str) -> Server:
        server = self._server_to_change(name)
        await server.start()
        await self._flush()
        return server

    async def keep(self, name: str) -> Server:
        """Have it run, now or as soon as it can: see ``Server.resume``."""
        server = self._server_to_change(name)
        await server.resume()
        await self._flush()
        return server

    async def stop(self, name: str, drain: float = 0.0) -> Server:
        server = self._server_to_change(name)
        await server.stop(drain)
        await self._flush()
        return server

    async def restart(self, name: str) -> Server:
        server = self._server_to_change(name)
        self._check_open()
        await server.restart()
        await self._flush()
        return server

    async def change(self, name: str, patch: ServerPatch, if_match: IfMatch = UNCONDITIONAL) -> Server:
        server = self._server_to_change(name)
        if "on" in patch.model_fields_set:
            self.registry.check_on(patch.on)
        if "variant" in patch.model_fields_set:
            self._check_variant(patch.variant)
        before = server.spec
        await server.change(patch, self._settle, if_match)
        if server.spec.on == before.on or server.spec.on in (None, self.node):
            await self._flush()
            return server
        server.goes_away = True
        await server.retire()  # before it is another node's
        try:
            await self._flush()
        except Refusal:
            server.spec, server.goes_away = before, False
            if server.desired == "running":
                await server.resume()
            raise
        return server

    async def remove(self, name: str, if_match: IfMatch = UNCONDITIONAL) -> None:
        server = self._server_to_change(name)
        async with self.registry.removing(server):
            await server.remove(if_match)
            del self._servers[name]
        self._note(name, "was removed")
        self.chronicle.forget(name, server.serial)
        self.series.forget(name, server.serial)
        await self._flush()

    # In a fleet: servers that come from another node, and go there

    async def adopt(self, serial: int, name: str, spec: ServerSpec, desired: Desired, epoch: int | None) -> None:
        """Have this server from now on, and run it if it is to run; the registry has it already."""
        self._check_open()
        self._check_variant(spec.variant)
        server = self._servers[name] = Server(serial, name, spec, self._around)
        server.epoch = epoch
        self.series.catch_up()
        if desired == "running":
            await server.resume()

    async def release(self, name: str) -> None:
        """Stop it, and have it no longer; the registry keeps it as it is."""
        server = self._servers[name]
        server.goes_away = True
        await server.retire()
        self._servers.pop(name, None)

    # The app's own start and end

    async def open(self) -> None:
        """Read the state; ``resume`` runs again what should run. A second call does nothing.

        Raises:
            StateUnusable: the state cannot be had.
        """
        if self._opened:
            return
        kept = self._store.open()
        self._opened = True
        self._store.owners.append(self._everything)
        self.chronicle.remember(kept)
        self.series.remember(kept.minutes)
        self.roster.boot = kept.boots
        self._undo.enter_context(tracking(asyncio.get_running_loop()))
        self.sampler.start(self._threads_cpu)
        self._undo.callback(self.sampler.stop)
        if not self.registry.keeps_here and kept.servers:
            log.warning(
                "the state file has %d servers that are not the fleet's; they are left alone", len(kept.servers)
            )
        for one in kept.servers if self.registry.keeps_here else ():
            try:
                spec = ServerSpec.model_validate_json(one.spec)
                self._check_variant(spec.variant)
            except (ValidationError, Invalid) as error:
                log.error("the server %s cannot be had again: %s", one.name, error)
                continue
            server = Server(one.serial, one.name, spec, self._around)
            self._servers[one.name] = server
            self._state_file.has([one.serial])
            if one.desired == "running":
                server.desired = "running"
                self._to_resume.append(server)

    async def resume(self) -> None:
        """Return when everything that should run does, or has met with its restart policy."""
        waiting, self._to_resume = self._to_resume, []
        await asyncio.gather(*(server.resume() for server in waiting))

    def announce_end(self) -> None:
        """From now on nothing is started."""
        self.closing = True

    async def stop_all(self) -> None:
        """Stop every server, all at once; what should run stays noted, for the next start."""
        self.announce_end()
        await asyncio.gather(*(server.retire() for server in self._servers.values()))
        self.stopped = True

    async def close(self) -> None:
        """Stop what runs, unless that was tried already, and write down what is yet to be written."""
        if not self.closing:
            await self.stop_all()
        await self._store.close()
        self._undo.close()

    # How

    async def _listen(self, spec: ServerSpec) -> Listener:
        return await listen(self._host(spec), spec.port, spec.backlog, self.policy, self._holder_of)

    def _host(self, spec: ServerSpec) -> str:
        return self._serves_on if spec.host == ON_NODE else spec.host

    def _holder_of(self, address: str, port: int) -> Holder:
        def overlaps(other: tuple[str, int] | None) -> bool:
            return (
                other is not None
                and other[1] == port
                and (other[0] == address or not ANYWHERE.isdisjoint({other[0], address}))
            )

        for server in self._servers.values():
            if overlaps(server.listens_at):
                return Holder(server.name, f"the server {server.name!r}")
        if any(overlaps(page) for page in self.page_at):
            return Holder(None, "this page itself")
        return Holder(None, "a program outside of this app")

    def _check_open(self) -> None:
        if self.closing:
            raise ShuttingDown("The app is shutting down; nothing is started any more.")

    def _check_variant(self, name: str) -> None:
        if name not in self.variants:
            raise Invalid(f"There is no variant {name!r}; there are {', '.join(self.variants)}.", field="variant")

    def _check_free(self, name: str) -> None:
        if name in self._servers:
            raise NameTaken(
                f"There is a server {name!r} already; choose another name.", field="name", server=f"/servers/{name}"
            )

    async def _settle(self, spec: ServerSpec) -> ServerSpec:
        """The spec with a port that is free now, if it names none.

        Raises:
            Refusal: what ``listen`` would say, as far as it can be known without listening.
        """
        if spec.port == 0:
            with await self._listen(spec) as listener:
                return spec.model_copy(update={"port": listener.getsockname()[1]})
        await check(self._host(spec), spec.port, self.policy, self._holder_of)
        return spec

    def _queues(self) -> dict[tuple[str, int], str]:
        """The servers in whose accept queues clients wait, by where they listen."""
        return {
            server.listens_at: server.name
            for server in self._servers.values()
            if server.listens_at is not None and server.waiting
        }

    def _threads_cpu(self) -> dict[str, float]:
        """Processor time of the threads of servers, by server."""
        found = {}
        for server in list(self._servers.values()):
            if server.threads and (seconds := server.cpu_seconds) is not None:
                found[server.name] = seconds
        return found

    def _note(self, name: str, what: str) -> None:
        self.chronicle.note(name, what)

    def _save(self, server: Server) -> None:
        if not server.removed:
            self.registry.save(server)

    def _server_to_change(self, name: str) -> Server:
        server = self.server(name)
        self.registry.check()
        return server

    async def _flush(self) -> None:
        await self.registry.flush()
        await self._store.flush()

    def _everything(self) -> list[Statement]:
        """The statements that make a state file of nothing; called on the thread that writes it."""
        servers = map(saved, list(self._servers.values()) if self.registry.keeps_here else [])
        return [put_boots(self.roster.boot), *servers, *self.chronicle.statements(), *self.series.statements()]
