"""etcd's v3 API over the JSON that every member speaks (etcd.io, "gRPC gateway"): a few calls, and a stream.

Calls go to one member, and to the next when it does not answer. A change that was not answered may have been made all
the same: every change here is a transaction with conditions, so that whoever makes it can find out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import httpx

from app.errors import EngineSilent

log = logging.getLogger("echodeck.etcd")

SECONDS_TO_ANSWER = 0.6
"""So that a few members can be asked before a lease of some seconds is over."""

HEDGE_SECONDS = 0.2
"""After which another member is asked to renew the lease, too: time is short."""

PASSES = frozenset({4, 8, 10, 14})
"""gRPC's codes of what may be otherwise at another member, or in a while: deadline, exhausted, aborted, unavailable."""

UNKNOWN, NO_SUCH_LEASE, DATA_LOSS, UNAUTHENTICATED = 2, 5, 15, 16


class EngineUnusable(EngineSilent):
    """It answers, and what it says will not change by itself; the message says what."""


class KeysLost(EngineUnusable):
    """etcd is at a revision below one that it had: its keys are lost, or older ones were restored."""


class MemberFailed(Exception):
    """A member does not answer, or says that it cannot, now."""


class OtherCluster(MemberFailed):
    """The message has its id, hexadecimal as etcdctl prints it."""


class ChangesRefused(MemberFailed):
    """No member makes a change, because of an alarm."""


class Record(NamedTuple):
    """A key with its value. ``created`` and ``changed`` are revisions of the engine; ``lease`` is 0 for none."""

    key: str
    value: str
    created: int
    changed: int
    lease: int


class Change(NamedTuple):
    """``record`` is None for a key that is gone."""

    key: str
    record: Record | None
    revision: int


class Changes(NamedTuple):
    """What a watch saw at once; ``revision`` is where the next one goes on."""

    changes: list[Change]
    revision: int


class Outcome(NamedTuple):
    """Of a transaction: whether its conditions held, and at which revision."""

    held: bool
    revision: int


class Compacted(Exception):
    """The engine no longer has what happened since the revision that was asked for."""


@dataclass(frozen=True)
class Access:
    """Where the engine is, and what it wants to see: ``user`` and ``password`` if it has authentication, ``tls`` for
    https."""

    urls: Sequence[str]
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


def absent(key: str) -> dict[str, Any]:
    """The condition that there is no such key."""
    return {"key": _b64(key), "target": "CREATE", "result": "EQUAL", "create_revision": 0}


def created_at(key: str, revision: int) -> dict[str, Any]:
    """The condition that the key is still the one that was created then."""
    return {"key": _b64(key), "target": "CREATE", "result": "EQUAL", "create_revision": revision}


def changed_at(key: str, revision: int) -> dict[str, Any]:
    """The condition that the key is as it was then."""
    return {"key": _b64(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}


def put(key: str, value: str, lease: int = 0) -> dict[str, Any]:
    return {"request_put": {"key": _b64(key), "value": _b64(value), "lease": lease}}


def delete(key: str) -> dict[str, Any]:
    return {"request_delete_range": {"key": _b64(key)}}


class Gateway:
    """``revision`` is the latest that an answer told of, of keys whosesoever. ``failed`` is set by each call that a
    member did not answer as it should."""

    def __init__(self, access: Access) -> None:
        self.cluster: str | None = None
        self.revision = 0
        self.failed = asyncio.Event()
        self._access = access
        self.urls = [url.rstrip("/") for url in access.urls]
        self._at = random.randrange(len(self.urls))  # noqa: S311  # so that nodes spread over the members
        self._token: str | None = None
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def check(self) -> None:
        """Ask every member once.

        Raises:
            EngineSilent: none answers.
            EngineUnusable: what answers is not one engine, or lets nobody in.
        """
        clusters: dict[str, str] = {}
        why = ""
        for url in self.urls:
            try:
                answer = await self._post(url, "/v3/kv/range", {"key": _b64("/echodeck/"), "count_only": True})
            except (httpx.HTTPError, MemberFailed) as error:
                why = f"{url}: {_reason(error)}"
                continue
            clusters[url] = answer["header"]["cluster_id"]
        if not clusters:
            raise EngineSilent(f"The fleet's engine does not answer ({why}).")
        if len(set(clusters.values())) > 1:
            raise EngineUnusable(f"these are members of different etcd clusters: {', '.join(clusters)}")
        self.cluster = next(iter(clusters.values()))

    async def check_revision(self) -> None:
        """Raises:
        EngineSilent: nobody answers.
        KeysLost: etcd is at an earlier revision than it was.
        """
        known = self.revision
        # Such a read is linearizable: whichever member answers, it has all that was committed before.
        answer = await self._call("/v3/kv/range", {"key": _b64("/echodeck/"), "count_only": True}, 3.0)
        if int(answer["header"]["revision"]) < known:
            raise KeysLost(f"etcd has lost its keys, or older ones were restored: it was at revision {known}")

    async def ask(self, url: str, path: str, seconds: float) -> dict[str, Any]:
        """What this member itself answers to a call without parameters.

        Raises:
            MemberFailed: nothing, in that time.
            EngineUnusable: it refuses.
        """
        try:
            return await self._post(url, path, {}, seconds=seconds)
        except httpx.HTTPError as error:
            raise MemberFailed(_reason(error)) from error

    async def metrics(self, url: str, seconds: float) -> str:
        """The member's, for Prometheus; empty if it has none for this node."""
        try:
            response = await self._client(url).get(url + "/metrics", timeout=httpx.Timeout(seconds, pool=None))
        except httpx.HTTPError:
            return ""
        return response.text if response.status_code == 200 else ""

    async def transact(
        self, conditions: Sequence[dict[str, Any]], changes: Sequence[dict[str, Any]], seconds: float = 3.0
    ) -> Outcome:
        """Make all the changes if all conditions hold, else none.

        Raises:
            EngineSilent: nobody knows whether they were made.
        """
        answer = await self._call("/v3/kv/txn", {"compare": list(conditions), "success": list(changes)}, seconds)
        return Outcome(answer.get("succeeded", False), int(answer["header"]["revision"]))

    async def read(self, prefix: str) -> tuple[list[Record], int]:
        """All keys that begin so, and the revision as of which they are.

        Raises:
            EngineSilent: nobody answers.
        """
        answer = await self._call("/v3/kv/range", {"key": _b64(prefix), "range_end": _b64(_after(prefix))}, 5.0)
        return [_record(one) for one in answer.get("kvs", [])], int(answer["header"]["revision"])

    async def grant(self, seconds: int) -> tuple[int, int]:
        """A lease: its id, and for how many seconds the engine gave it, which may be more."""
        answer = await self._call("/v3/lease/grant", {"TTL": seconds}, SECONDS_TO_ANSWER)
        return int(answer["ID"]), int(answer["TTL"])

    async def renew(self, lease: int) -> bool:
        """Whether the lease was still there.

        Raises:
            EngineSilent: nobody answers.
        """
        asked: set[asyncio.Task[dict[str, Any]]] = set()
        tries = max(3, 2 * len(self.urls))
        why: BaseException | None = None
        try:
            while tries or asked:
                if tries:  # a member that has lost its leader may answer late; another one knows the new one by now
                    url = self.urls[(self._at + tries) % len(self.urls)]
                    tries -= 1
                    asked.add(asyncio.ensure_future(self._post(url, "/v3/lease/keepalive", {"ID": lease})))
                done, asked = await asyncio.wait(
                    asked, timeout=HEDGE_SECONDS if tries else None, return_when=asyncio.FIRST_COMPLETED
                )
                for one in done:
                    try:
                        return int(one.result()["result"].get("TTL", 0)) > 0
                    except (httpx.HTTPError, MemberFailed) as error:
                        why = error
                        self.failed.set()
            raise EngineSilent(f"The fleet's engine does not answer ({_reason(why)}).") from why
        finally:
            for one in asked:
                one.cancel()

    async def revoke(self, lease: int) -> None:
        """End the lease, and with it every key that it holds."""
        await self._call("/v3/lease/revoke", {"ID": lease}, 1.0, fine=frozenset({NO_SUCH_LEASE}))

    async def watch(self, prefix: str, revision: int) -> AsyncGenerator[Changes, None]:
        """What changes from that revision on, the first time at once and perhaps empty.

        Raises:
            EngineSilent: the stream has ended; another one may go on where this one was.
            Compacted: that revision is gone.
        """
        url = self.urls[self._at]
        body = {"create_request": {"key": _b64(prefix), "range_end": _b64(_after(prefix)), "start_revision": revision}}
        try:
            async with self._client(url).stream(
                "POST", url + "/v3/watch", json=body, headers=await self._headers(url), timeout=_watching()
            ) as response:
                async for line in response.aiter_lines():
                    yield self._changes(url, line, revision)
        except httpx.HTTPError as error:
            self._go_on_from(url)
            raise EngineSilent(f"{url}: {_reason(error)}") from error
        self._go_on_from(url)
        raise EngineSilent(f"{url} has ended the watch.")

    def turn_to_another(self) -> None:
        """The member that is asked now seems to be cut off, although it says nothing of it."""
        self._go_on_from(self.urls[self._at])

    def _changes(self, url: str, line: str, revision: int) -> Changes:
        message = json.loads(line)
        if fault := _fault(message):
            self._go_on_from(url)
            raise EngineSilent(f"{url}: {fault.words}")
        result = message["result"]
        self._check_cluster(url, result)
        if result.get("canceled"):
            if int(result.get("compact_revision", 0)) > 0:
                raise Compacted
            self._token = None
            raise EngineSilent(f"{url}: {result.get('cancel_reason', 'the watch was cancelled')}")
        changes = [_change(event) for event in result.get("events", [])]
        return Changes(changes, max((one.revision for one in changes), default=revision - 1) + 1)

    async def _call(
        self, path: str, body: dict[str, Any], seconds: float, fine: frozenset[int] = frozenset()
    ) -> dict[str, Any]:
        """Ask one member after the other until the time is over, each of them at least once."""
        until = asyncio.get_running_loop().time() + seconds
        why: BaseException | None = None
        for tried in range(1_000):
            if tried >= len(self.urls) and asyncio.get_running_loop().time() >= until:
                break
            url = self.urls[self._at]
            try:
                return await self._post(url, path, body, fine)
            except ChangesRefused as reason:
                self.failed.set()
                raise EngineSilent(f"etcd refuses changes: {reason}.") from reason
            except (httpx.HTTPError, MemberFailed) as error:
                why = error
                self._go_on_from(url)
                if tried % len(self.urls) == len(self.urls) - 1:  # all nodes do so at once: jitter
                    await asyncio.sleep(random.uniform(0.05, 0.2))  # noqa: S311
        raise EngineSilent(f"The fleet's engine does not answer ({_reason(why)}).") from why

    def _go_on_from(self, url: str) -> None:
        self.failed.set()
        if self.urls[self._at] == url:  # else somebody did already
            self._at = (self._at + 1) % len(self.urls)

    async def _post(
        self,
        url: str,
        path: str,
        body: dict[str, Any],
        fine: frozenset[int] = frozenset(),
        seconds: float = SECONDS_TO_ANSWER,
    ) -> dict[str, Any]:
        timeout = httpx.Timeout(seconds, pool=None)
        for _ in range(2):
            headers = await self._headers(url)
            response = await self._client(url).post(url + path, json=body, headers=headers, timeout=timeout)
            try:
                answer: Any = response.json()
            except ValueError:
                raise EngineUnusable(f"{url} is no etcd: it answers {response.status_code} with no JSON") from None
            fault = _fault(answer) if isinstance(answer, dict) else None
            if fault is None and not (isinstance(answer, dict) and {"header", "result"} & answer.keys()):
                raise EngineUnusable(f"{url} is no etcd: it answers {response.text[:100]!r}")
            if fault is None or fault.code in fine:
                answered = answer.get("result", answer)
                self._check_cluster(url, answered)
                self.revision = max(self.revision, int(answered.get("header", {}).get("revision", 0)))
                return cast("dict[str, Any]", answer)
            if fault.code == UNAUTHENTICATED and self._access.user:
                self._token = None  # its time is over
                continue
            if fault.code == DATA_LOSS or "database space exceeded" in fault.words:
                raise ChangesRefused(fault.words)
            if fault.code in PASSES or "leader" in fault.words or "timed out" in fault.words:
                raise MemberFailed(fault.words)
            raise EngineUnusable(f"{url} refuses: {fault.words}")
        raise EngineUnusable(f"{url} lets {self._access.user} not in")

    def _check_cluster(self, url: str, answer: dict[str, Any]) -> None:
        cluster = answer.get("header", {}).get("cluster_id")
        if cluster is not None and self.cluster is not None and cluster != self.cluster:
            raise OtherCluster(f"it is a member of another cluster now ({int(cluster):x})")

    async def _headers(self, url: str) -> dict[str, str]:
        if not self._access.user:
            return {}
        if self._token is None:
            body = {"name": self._access.user, "password": self._access.password or ""}
            response = await self._client(url).post(url + "/v3/auth/authenticate", json=body)
            answer = response.json()
            if "token" not in answer:
                fault = _fault(answer) or Fault(UNKNOWN, response.text)
                if fault.code in PASSES:
                    raise MemberFailed(fault.words)
                raise EngineUnusable(f"{url} lets {self._access.user} not in: {fault.words}")
            self._token = answer["token"]
        return {"Authorization": self._token}

    def _client(self, url: str) -> httpx.AsyncClient:
        if url not in self._clients:
            self._clients[url] = httpx.AsyncClient(
                timeout=httpx.Timeout(SECONDS_TO_ANSWER, pool=None),
                limits=httpx.Limits(max_connections=64, keepalive_expiry=30),
                trust_env=False,
                verify=self._access.tls or False,
            )
        return self._clients[url]


class Fault(NamedTuple):
    """``code`` is of gRPC."""

    code: int
    words: str


def _fault(answer: dict[str, Any]) -> Fault | None:
    """What etcd says that it could not do. By version, its gateway has ``error`` and ``code``, or ``code`` and
    ``message``; in a stream, ``error`` has these within it."""
    error = answer.get("error")
    if isinstance(error, dict):
        answer = error
    elif error is None and "code" not in answer:
        return None
    code = answer.get("code", answer.get("grpc_code", UNKNOWN))
    return Fault(int(code), str(answer.get("message") or error))


def _watching() -> httpx.Timeout:
    return httpx.Timeout(SECONDS_TO_ANSWER, read=None, pool=None)


def _reason(error: BaseException | None) -> str:
    words = "" if error is None else str(error)
    return words or type(error).__name__


def _record(found: dict[str, Any]) -> Record:
    return Record(
        _text(found["key"]),
        _text(found.get("value", "")),
        int(found["create_revision"]),
        int(found["mod_revision"]),
        int(found.get("lease", 0)),
    )


def _change(event: dict[str, Any]) -> Change:
    found = event["kv"]
    gone = event.get("type") == "DELETE"
    return Change(_text(found["key"]), None if gone else _record(found), int(found["mod_revision"]))


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _text(encoded: str) -> str:
    return b64decode(encoded).decode("utf-8", "replace")


def _after(prefix: str) -> str:
    """The first key that does not begin so."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
