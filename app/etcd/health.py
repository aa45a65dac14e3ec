"""etcd's health as this process observes it: members, leader, alarms, the database's size against its quota.

Each member that was named is asked for its status, which it answers without the others, alarms included; to ask for
alarms themselves (/v3/maintenance/alarm) would be a write to etcd's log each time.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from app.errors import EngineSilent
from app.etcd.gateway import EngineUnusable, Gateway, KeysLost, MemberFailed, OtherCluster

log = logging.getLogger("echodeck.etcd")

SECONDS_BETWEEN = 10.0
SECONDS_BETWEEN_IN_TROUBLE = 2.0
SECONDS_APART = 1.0
"""At least, however many calls fail."""

SECONDS_TO_ANSWER = 2.0
"""For a status: more than a member needs on a busy machine."""

SECONDS_OF_QUOTA = 300.0
"""After which a member is asked for its quota again, which changes only while it restarts."""

NEARLY_FULL = 0.8

FAILING = frozenset({"unavailable", "no-leader", "refused", "nospace", "corrupt", "keys-lost"})
"""Troubles with which nothing of the fleet can change."""

_ALARM = re.compile(r"memberID:\s*(\d+)\s+alarm:\s*(\w+)")
_QUOTA = re.compile(r"^etcd_server_quota_backend_bytes (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Trouble:
    """``kind`` is one of ``ETCD_TROUBLES`` of the shapes. ``member``: its name, or its URL while the name is not known;
    None for all of etcd."""

    kind: str
    member: str | None
    detail: str


@dataclass(frozen=True)
class Member:
    """``answers`` is None for a member that is not asked, as its URL was not given; what only itself knows is None
    unless it answers. ``name`` is empty until it has joined."""

    name: str
    url: str | None
    answers: bool | None
    leader: bool
    version: str | None = None
    database_bytes: int | None = None
    quota_bytes: int | None = None


@dataclass(frozen=True)
class Health:
    """``cluster``: its id, hexadecimal. Sizes are those of the member whose database is the nearest to its quota."""

    at: datetime
    cluster: str | None
    leader: str | None
    members: tuple[Member, ...]
    alarms: tuple[str, ...]
    database_bytes: int | None
    quota_bytes: int | None
    troubles: tuple[Trouble, ...]

    @property
    def state(self) -> Literal["healthy", "degraded", "failing"]:
        if not self.troubles:
            return "healthy"
        works = any(one.answers for one in self.members) and not any(one.kind in FAILING for one in self.troubles)
        return "degraded" if works else "failing"


@dataclass(frozen=True)
class Observed:
    """What was answered at once. ``statuses`` and ``failed`` are by URL; ``ids`` has the member that answered last at
    each URL; ``listed``: the members, as one of them listed them last; ``reading``: why a read failed, if it did."""

    statuses: dict[str, dict[str, Any]]
    failed: dict[str, MemberFailed | EngineUnusable]
    ids: dict[str, str]
    listed: list[dict[str, Any]]
    quotas: dict[str, int | None]
    reading: EngineSilent | None


def judge(observed: Observed, cluster: str | None, at: datetime) -> Health:
    """The health that follows from the answers."""
    statuses = observed.statuses
    leader_id = ""
    if statuses:  # one that is cut off from the others may have been left in an earlier term
        leader_id = str(max(statuses.values(), key=lambda one: int(one.get("raftTerm", 0))).get("leader", "0"))
    by_id = {one["header"]["member_id"]: url for url, one in statuses.items()}
    names = {str(one["ID"]): str(one.get("name", "")) for one in observed.listed}
    members = []
    for one in observed.listed or [{"ID": id} for id in by_id]:
        id, addresses = str(one["ID"]), [url.rstrip("/") for url in one.get("clientURLs", ())]
        asked = by_id.get(id) or next((url for url in observed.failed if observed.ids.get(url) == id), None)
        asked = asked or next((url for url in observed.failed if url in addresses), None)
        status = statuses.get(asked or "", {})
        members.append(
            Member(
                names.get(id) or "",
                asked or (addresses[0] if addresses else None),
                None if asked is None else asked in statuses,
                id == leader_id,
                status.get("version"),
                int(status["dbSize"]) if "dbSize" in status else None,
                observed.quotas.get(asked or ""),
            )
        )
    called = {one.url: one.name for one in members if one.url and one.name}
    alarms = {found for one in statuses.values() for text in one.get("errors", ()) for found in _ALARM.findall(text)}
    fullest = max(members, key=_share, default=None)
    return Health(
        at,
        None if cluster is None else f"{int(cluster):x}",
        next((one.name or one.url for one in members if one.leader), None),
        tuple(members),
        tuple(sorted({name for _, name in alarms})),
        fullest.database_bytes if fullest else None,
        fullest.quota_bytes if fullest else None,
        (
            *_of_members(observed, called),
            *_of_all(observed, leader_id),
            *(_of_alarm(name, names.get(id) or f"{int(id):x}") for id, name in sorted(alarms)),
            *(_nearly_full(one) for one in members if not alarms and _share(one) >= NEARLY_FULL),
        ),
    )


def _of_members(observed: Observed, called: dict[str, str]) -> list[Trouble]:
    found = []
    for url, reason in observed.failed.items():
        name = called.get(url) or url
        if isinstance(reason, OtherCluster):
            found.append(Trouble("other-cluster", name, f"{name} does not belong to the fleet's etcd: {reason}"))
        elif observed.statuses:
            found.append(Trouble("member-silent", name, f"the member {name} does not answer: {reason}"))
    return found


def _of_all(observed: Observed, leader_id: str) -> list[Trouble]:
    if not observed.statuses and all(isinstance(one, OtherCluster) for one in observed.failed.values()):
        return []  # each of them is a trouble
    if not observed.statuses:
        reasons = "; ".join(f"{url}: {reason}" for url, reason in observed.failed.items())
        return [Trouble("unavailable", None, f"no member answers this node ({reasons}): the fleet cannot be changed")]
    if leader_id in ("", "0"):
        return [Trouble("no-leader", None, "there is no leader: the fleet cannot be changed")]
    if isinstance(observed.reading, KeysLost):
        detail = f"{observed.reading}; floating servers do not run until its data is back or the nodes are restarted"
        return [Trouble("keys-lost", None, detail)]
    if isinstance(observed.reading, EngineUnusable):
        return [Trouble("refused", None, f"it refuses this node: {observed.reading}")]
    if observed.reading is not None:
        return [
            Trouble("unavailable", None, f"it does not answer reads ({observed.reading}): the fleet cannot be changed")
        ]
    return []


def _of_alarm(alarm: str, member: str) -> Trouble:
    if alarm == "NOSPACE":
        what = "the database is full, and the fleet cannot be changed: compact, defragment, then disarm the alarm"
        return Trouble("nospace", member, f"alarm NOSPACE of {member}: {what}")
    return Trouble(
        "corrupt", member, f"alarm {alarm} of {member}: the fleet cannot be changed until the member is replaced"
    )


def _nearly_full(member: Member) -> Trouble:
    name = member.name or str(member.url)
    return Trouble("nearly-full", name, f"the database of {name} takes {_share(member):.0%} of its quota")


def _share(member: Member) -> float:
    return (member.database_bytes or 0) / member.quota_bytes if member.quota_bytes else 0.0


class HealthMonitor:
    """``latest`` is None until etcd was asked for the first time. Each trouble is logged when it begins and when it has
    ended."""

    def __init__(self, gateway: Gateway) -> None:
        self.latest: Health | None = None
        self._gateway = gateway
        self._ids: dict[str, str] = {}
        self._listed: list[dict[str, Any]] = []
        self._quotas: dict[str, tuple[float, int | None]] = {}

    async def run(self) -> None:
        """Run until cancelled: seldom, and soon after a call that failed."""
        while True:
            self._gateway.failed.clear()
            try:
                await self._poll()
            except Exception:
                log.exception("etcd's health cannot be read")
            await asyncio.sleep(SECONDS_APART)
            troubled = self.latest is None or self.latest.troubles
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    (SECONDS_BETWEEN_IN_TROUBLE if troubled else SECONDS_BETWEEN) - SECONDS_APART
                ):
                    await self._gateway.failed.wait()

    async def _poll(self) -> None:
        urls = self._gateway.urls
        answers = dict(zip(urls, await asyncio.gather(*map(self._status, urls)), strict=True))
        statuses = {url: one for url, one in answers.items() if isinstance(one, dict)}
        failed = {url: one for url, one in answers.items() if not isinstance(one, dict)}
        self._ids |= {url: one["header"]["member_id"] for url, one in statuses.items()}
        for url in failed:
            self._quotas.pop(url, None)
        quotas = {url: await self._quota(url, one) for url, one in statuses.items()}
        reading = None
        if statuses:
            try:
                await self._gateway.check_revision()
            except EngineSilent as reason:
                reading = reason
        self._listed = await self._members(statuses) or self._listed
        observed = Observed(statuses, failed, self._ids, self._listed, quotas, reading)
        health = judge(observed, self._gateway.cluster, datetime.now(UTC))
        self._report({} if self.latest is None else _by_key(self.latest), _by_key(health))
        self.latest = health

    async def _status(self, url: str) -> dict[str, Any] | MemberFailed | EngineUnusable:
        try:
            return await self._gateway.ask(url, "/v3/maintenance/status", SECONDS_TO_ANSWER)
        except (MemberFailed, EngineUnusable) as reason:
            return reason

    async def _members(self, statuses: dict[str, Any]) -> list[dict[str, Any]]:
        """Empty if no member says, or may say."""
        for url in statuses:
            with suppress(MemberFailed, EngineUnusable):
                found = await self._gateway.ask(url, "/v3/cluster/member/list", SECONDS_TO_ANSWER)
                return list(found.get("members", ()))
        return []

    async def _quota(self, url: str, status: dict[str, Any]) -> int | None:
        """3.4 and 3.5 have it in their metrics only."""
        if "dbSizeQuota" in status:
            return int(status["dbSizeQuota"])
        asked_at, quota = self._quotas.get(url, (-SECONDS_OF_QUOTA, None))
        if time.monotonic() - asked_at >= SECONDS_OF_QUOTA:
            found = _QUOTA.search(await self._gateway.metrics(url, SECONDS_TO_ANSWER))
            quota = int(float(found[1])) if found else None
            self._quotas[url] = time.monotonic(), quota
        return quota

    def _report(self, before: dict[Any, Trouble], now: dict[Any, Trouble]) -> None:
        for key in now.keys() - before.keys():
            log.warning("trouble with etcd: %s", now[key].detail)
        for key in before.keys() - now.keys():
            log.warning("trouble with etcd has ended: %s", before[key].detail)


def _by_key(health: Health) -> dict[Any, Trouble]:
    return {(one.kind, one.member): one for one in health.troubles}
