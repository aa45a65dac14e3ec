"""The metrics for Prometheus, gathered n servers at a time.

``prometheus_client`` writes all of the text but the samples of servers. These are thousands, and it would encode the
same labels for each of a server's figures anew: 40 ms of processor time for 1,000 servers, where writing takes 5.

Names and units follow prometheus.io/docs/practices/naming.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from app.shapes.nodes import ETCD_TROUBLES
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from app.terminals.terminals import Terminals
from app.web.guesses import Guesses
from app.web.streams import Streams

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet

IN_ONE_GO = 300
"""Connections or servers that are read before the loop runs other tasks."""

FEW = 1000
FRESH = 5.0
"""Seconds after which the figures of more than ``FEW`` connections are too old."""

LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_OF_SERVERS = (
    (GaugeMetricFamily, "connections", "Connections that are open."),
    (CounterMetricFamily, "connections_accepted", "Connections accepted."),
    (CounterMetricFamily, "connections_turned_away", "Clients closed at once: too many, or no descriptor left."),
    (GaugeMetricFamily, "waiting", "Clients in the accept queue."),
    (CounterMetricFamily, "received_bytes", "Bytes that clients sent."),
    (CounterMetricFamily, "sent_bytes", "Bytes that clients were sent."),
    (CounterMetricFamily, "exceptions", "Exceptions that were raised."),
    (CounterMetricFamily, "restarts", "Restarts by policy."),
    (GaugeMetricFamily, "loop_share", "Share of the event loop's time lately, 0 to 1."),
    (CounterMetricFamily, "thread_cpu_seconds", "Processor time of the server's own threads."),
)


class Metrics:
    """``dropped_lines`` says how many lines of the log could not be written."""

    def __init__(
        self,
        supervisor: Supervisor,
        streams: Streams,
        terminals: Terminals,
        guesses: Guesses,
        dropped_lines: Callable[[], int] = lambda: 0,
        fleet: Fleet | None = None,
    ) -> None:
        self._fleet = fleet
        self._supervisor = supervisor
        self._streams = streams
        self._terminals = terminals
        self._guesses = guesses
        self._dropped_lines = dropped_lines
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        lag = Histogram(
            "echodeck_loop_lag_seconds",
            "How late the event loop came to what was ready.",
            buckets=LAG_BUCKETS,
            registry=self._registry,
        )
        supervisor.sampler.on_lag = lag.observe

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its media type, in the format that the ``Accept`` header prefers."""
        families, samples = await self._gather()
        encode, media_type = choose_encoder(accept)
        registry = CollectorRegistry()
        registry.register(_Gathered(families, self._registry))

        def with_samples(header: re.Match[str]) -> str:
            return header[0] + "".join(samples.get(header[1], ()))

        text = re.sub(r"^# TYPE (\w+?)(_total)? \w+\n", with_samples, encode(registry).decode(), flags=re.MULTILINE)
        return text.encode(), media_type

    async def _gather(self) -> tuple[list[Metric], dict[str, list[str]]]:
        """Read every connection, unless the feed has just done so; then every server. Returns the families, and by the
        name of a family the samples that are missing in it."""
        roster = self._supervisor.roster
        if len(roster) <= FEW or time.monotonic() - roster.looked_at > FRESH:
            for number, client in enumerate(roster.clients()):
                client.look()
                if number % IN_ONE_GO == IN_ONE_GO - 1:
                    await asyncio.sleep(0)
        families = [kind(f"echodeck_{name}", text, labels=("server", "variant")) for kind, name, text in _OF_SERVERS]
        names = [f"{one.name}_total" if one.type == "counter" else one.name for one in families]
        samples: dict[str, list[str]] = {one.name: [] for one in families}
        breaches = CounterMetricFamily(
            "echodeck_limit_breaches", "Times a limit was reached.", labels=("server", "variant", "limit")
        )
        states: Counter[State] = Counter()
        for number, server in enumerate(self._supervisor.servers()):
            states[server.state] += 1
            tally, traffic = server.tally, server.tally.ended + server.tally.seen
            figures = (
                tally.open,
                tally.total,
                tally.turned_away,
                server.waiting,
                traffic.bytes_in,
                traffic.bytes_out,
                self._supervisor.chronicle.raised.get((server.name, server.serial), 0),
                server.restarts,
                server.loop_share,
                server.cpu_seconds,
            )
            labels = f'{{server="{server.name}",variant="{server.spec.variant}"}}'  # neither needs to be escaped
            for name, of_it, figure in zip(names, samples.values(), figures, strict=True):
                if figure is not None:
                    of_it.append(f"{name}{labels} {float(figure)}\n")
            for limit, count in list(tally.breaches.counts.items()):
                breaches.add_metric((server.name, server.spec.variant, limit), count)
            if number % IN_ONE_GO == IN_ONE_GO - 1:
                await asyncio.sleep(0)
        return [self._states(states), *families, breaches, *self._of_the_app()], samples

    def _states(self, states: Counter[State]) -> Metric:
        family = GaugeMetricFamily("echodeck_servers", "Servers by state.", labels=("state",))
        for state in State:
            family.add_metric((state.value,), states[state])
        return family

    def _of_the_app(self) -> Iterator[Metric]:
        sampler = self._supervisor.sampler
        shares = GaugeMetricFamily("echodeck_app_loop_share", "Share of the loop besides servers.", labels=("of",))
        for of in ("app", "idle"):
            if (share := sampler.share_of(of)) is not None:
                shares.add_metric((of,), share)
        yield shares
        yield CounterMetricFamily("echodeck_loop_stalls", "Times the loop did not turn for 100 ms.", sampler.stalled)
        yield GaugeMetricFamily("echodeck_streams", "Feeds and taps that are being read.", self._streams.open)
        yield CounterMetricFamily(
            "echodeck_streams_dropped", "Feeds and taps whose reader was too slow.", self._streams.dropped
        )
        yield GaugeMetricFamily("echodeck_terminals", "Terminals that are open.", self._terminals.open)
        yield CounterMetricFamily(
            "echodeck_terminals_dropped", "Terminals whose page took nothing.", self._terminals.dropped
        )
        breaches = CounterMetricFamily("echodeck_app_limit_breaches", "Times one was reached.", labels=("limit",))
        for limit, owner in (("streams", self._streams), ("terminals", self._terminals), ("guesses", self._guesses)):
            breaches.add_metric((limit,), owner.refused)
        yield breaches
        yield CounterMetricFamily(
            "echodeck_journal_dropped",
            "Events and exceptions that the journal had no room for any more.",
            self._supervisor.chronicle.dropped,
        )
        if self._fleet is not None:
            yield from _of_the_fleet(self._fleet)
        yield CounterMetricFamily(
            "echodeck_log_dropped_lines", "Lines of the log that could not be written.", self._dropped_lines()
        )


def _of_the_fleet(fleet: Fleet) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "echodeck_fleet_lease_age_seconds", "Since the last renewal that was answered was sent.", fleet.lease.age
    )
    yield CounterMetricFamily("echodeck_fleet_renewals", "Of the lease.", fleet.lease.renewals)
    yield CounterMetricFamily("echodeck_fleet_fences", "Times the lease was over here.", fleet.fences)
    yield CounterMetricFamily("echodeck_fleet_hops", "Calls passed on to other nodes.", fleet.peers.hops)
    yield CounterMetricFamily("echodeck_fleet_claims", "Servers that this node has claimed.", fleet.claims)
    yield CounterMetricFamily("echodeck_fleet_given_back", "Servers that it has handed over.", fleet.given_back)
    nodes = GaugeMetricFamily("echodeck_fleet_nodes", "Nodes by state, as known here.", labels=("state",))
    states = Counter(state for state, _ in fleet.nodes().values())
    for state in ("ready", "draining", "fenced", "lost"):
        nodes.add_metric((state,), states[state])
    yield nodes
    yield from _of_etcd(fleet)


def _of_etcd(fleet: Fleet) -> Iterator[Metric]:
    etcd = fleet.health.latest
    if etcd is None:
        return
    members = GaugeMetricFamily("echodeck_fleet_etcd_members", "Members by whether they answer.", labels=("answers",))
    answers = Counter(one.answers for one in etcd.members)
    for label, value in (("yes", True), ("no", False), ("not-asked", None)):
        members.add_metric((label,), answers[value])
    yield members
    yield GaugeMetricFamily("echodeck_fleet_etcd_has_leader", "1 if etcd has a leader.", int(etcd.leader is not None))
    for name, text, size in (
        ("database", "Size of etcd's database, at the member that is the nearest to its quota.", etcd.database_bytes),
        ("quota", "The quota of that member.", etcd.quota_bytes),
    ):
        if size is not None:
            yield GaugeMetricFamily(f"echodeck_fleet_etcd_{name}_bytes", text, size)
    troubles = GaugeMetricFamily("echodeck_fleet_etcd_troubles", "Troubles of etcd now, by kind.", labels=("kind",))
    found = Counter(one.kind for one in etcd.troubles)
    for kind in ETCD_TROUBLES:
        troubles.add_metric((kind,), found[kind])
    yield troubles


class _Gathered:
    """A collector of the gathered families, and of those of the process itself."""

    def __init__(self, found: list[Metric], own: CollectorRegistry) -> None:
        self._found = found
        self._own = own

    def collect(self) -> Iterator[Metric]:
        yield from self._found
        yield from self._own.collect()

    def describe(self) -> list[Metric]:
        """No names: otherwise the registry would collect everything when this is registered."""
        return []
