"""Who is connected, who waits, and hanging up: over real TCP, by REST."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from typing import Any

import httpx
import pytest

from app.connections import table
from app.connections.client import Client as Inside
from app.connections.roster import Roster
from app.kernel import accept_queue, tcp_info
from app.shapes.connections import ConnectionShape
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from servers import Connection, Variant
from tests.conftest import VARIANTS, Start
from tests.helpers import PATIENCE, Client, until

Row = dict[str, Any]


def those(wanted: Any) -> pytest.MarkDecorator:
    chosen = [variant for variant in VARIANTS.values() if wanted(variant)]
    assert chosen
    return pytest.mark.parametrize("variant", chosen, ids=lambda variant: variant.name)


keeps_clients = those(lambda variant: variant.wire.answers != "nothing")
serves_many = those(lambda variant: variant.wire.clients != "one in all")
all_at_once = those(lambda variant: variant.wire.clients == "all at once")

enough = threading.Event()


def holds_one(listener: socket.socket, options: object) -> None:
    """Accepts, and neither reads nor closes."""
    connection, _ = listener.accept()
    with connection:
        enough.wait(PATIENCE)


@pytest.fixture(autouse=True)
def _not_enough() -> Any:
    enough.clear()
    yield
    enough.set()


async def rows(api: httpx.AsyncClient, **query: Any) -> list[Row]:
    answer = await api.get("/connections", params=query)
    assert answer.status_code == 200, answer.text
    items: list[Row] = answer.json()["items"]
    return items


async def row(api: httpx.AsyncClient, client: Client, **wanted: Any) -> Row:
    """The client's row, once it has these values."""
    host, port = client.socket.getsockname()[:2]
    peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    found: list[Row] = []
    for _ in range(1000):
        found = [one for one in await rows(api) if one["peer"] == peer]
        if found and wanted.items() <= found[0].items():
            return found[0]
        await asyncio.sleep(0.005)
    raise AssertionError(f"{wanted} is not {found}")


# Rows


@keeps_clients
async def test_an_open_connection_has_a_row(api: httpx.AsyncClient, begin: Start, variant: Variant) -> None:
    server = await begin(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"hello")
        found = await row(api, client, state="open", bytes_in=5, unread=0)
        assert set(found) == set(ConnectionShape.model_fields)
        assert (found["server"], found["local"]) == (server.name, f"127.0.0.1:{server.spec.port}")
        assert 0 <= found["idle"] < PATIENCE
        assert found["rtt_us"] > 0
        alone = (await api.get(f"/connections/{found['id']}")).json()
        assert {**alone, "idle": 0, "bytes_out": 0} == {**found, "idle": 0, "bytes_out": 0}
    await until(lambda: not server.clients, "it has left")
    assert await rows(api) == []
    assert (await api.get(f"/connections/{found['id']}")).status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_bytes_are_those_that_went_through(api: httpx.AsyncClient, begin: Start, host: str) -> None:
    server = await begin("asyncio", host=host)
    async with await Client.to(server.spec.port, host) as client:
        await client.ask(b"x" * 10_000, b"x" * 10_000)
        found = await row(api, client)
        assert (found["bytes_in"], found["bytes_out"], found["unread"]) == (10_000, 10_000, 0)


async def test_what_the_server_has_not_read_is_seen(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin(holds_one)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"hello")
        await row(api, client, state="open", bytes_in=5, unread=5)


async def test_a_peer_that_closed_and_is_still_held_is_seen(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin(holds_one)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"bye")
        await client.half_close()
        await row(api, client, state="peer-closed", bytes_in=3, unread=3)


async def test_idle_time_is_that_without_a_byte(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        id = (await row(api, client))["id"]

        async def idle() -> float:
            found: float = (await api.get(f"/connections/{id}")).json()["idle"]
            return found

        while (before := await idle()) < 0.5:
            await asyncio.sleep(0.01)
        await client.ask(b"x", b"x")
        assert await idle() < before


async def test_without_tcp_info_a_row_has_zeros(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_info, "HAS_TCP_INFO", False)
    server = await begin("asyncio")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        found = await row(api, client)
        assert (found["state"], found["bytes_in"], found["idle"], found["rtt_us"]) == ("open", 0, 0, 0)


# Waiting


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_waiting_clients_have_rows_with_what_they_sent(api: httpx.AsyncClient, begin: Start, host: str) -> None:
    server = await begin("blocking", host=host)
    async with await Client.to(server.spec.port, host) as first:
        await row(api, first, state="open")
        async with await Client.to(server.spec.port, host) as second, await Client.to(server.spec.port, host) as third:
            await second.send(b"hello")
            await third.send(b"bye")
            await third.half_close()
            waits = await row(api, second, state="waiting", bytes_in=5, unread=5)
            assert set(waits) == set(ConnectionShape.model_fields)
            assert (waits["idle"], waits["rtt_us"], waits["bytes_out"]) == (None, None, 0)
            await row(api, third, state="waiting", bytes_in=3)
            counts = (await api.get(f"/servers/{server.name}")).json()["connections"]
            assert (counts["open"], counts["waiting"]) == (1, 2)


async def test_a_client_keeps_its_id_when_it_is_let_in(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port) as first, await Client.to(server.spec.port) as second:
        both: list[Row] = []
        while sorted(one["state"] for one in both) != ["open", "waiting"]:
            both = [await row(api, client) for client in (first, second)]
        inside, outside = sorted(both, key=lambda one: one["state"])
        assert [inside["state"], outside["state"]] == ["open", "waiting"]
        assert (await api.get(f"/connections/{outside['id']}")).json()["state"] == "waiting"
        await api.delete(f"/connections/{inside['id']}")
        let_in = await row(api, second if outside["peer"] == both[1]["peer"] else first, state="open")
        assert let_in["id"] == outside["id"]


async def test_a_waiting_client_that_leaves_is_gone(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port) as first:
        await row(api, first, state="open")
        async with await Client.to(server.spec.port) as second:
            id = (await row(api, second, state="waiting"))["id"]
            await second.reset()
        while (await api.get(f"/connections/{id}")).status_code != 404:
            await asyncio.sleep(0.01)


async def test_a_waiting_client_cannot_be_hung_up_before_its_turn(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port) as first:
        await row(api, first, state="open")
        async with await Client.to(server.spec.port) as second:
            id = (await row(api, second, state="waiting"))["id"]
            answer = await api.delete(f"/connections/{id}")
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-accepted")
            assert answer.json()["server"] == f"/servers/{server.name}"
            await row(api, second, state="waiting")


@pytest.mark.parametrize(("host", "to"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::", "127.0.0.1")])
async def test_whoever_waits_at_a_server_that_listens_everywhere_is_found(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start, host: str, to: str
) -> None:
    watched.policy = type(watched.policy)(watched.policy.ports, beyond_loopback=True)
    server = await begin("blocking", host=host)
    async with await Client.to(server.spec.port, to), await Client.to(server.spec.port, to):
        found: list[Row] = []
        while sorted(one["state"] for one in found) != ["open", "waiting"]:
            found = await rows(api)
            await asyncio.sleep(0.01)
        assert {one["server"] for one in found} == {server.name}


async def test_the_tables_are_read_only_when_somebody_waits(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    monkeypatch.setattr(accept_queue, "read", lambda ports: reads.append(ports) or [])
    server = await begin("blocking")
    await rows(api)
    assert reads == []
    async with await Client.to(server.spec.port), await Client.to(server.spec.port):
        await until(lambda: server.waiting == 1, "one waits")
        await asyncio.gather(*(rows(api) for _ in range(5)))
        assert reads == [{server.spec.port}]


async def test_tables_that_cannot_be_read_are_no_error(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(ports: object) -> Any:
        raise OSError(24, "no descriptor is left")

    monkeypatch.setattr(accept_queue, "read", fails)
    server = await begin("blocking")
    async with await Client.to(server.spec.port), await Client.to(server.spec.port):
        await until(lambda: server.waiting == 1, "one waits")
        assert [one["state"] for one in await rows(api)] == ["open"]


TABLE = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F43 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1071 1 00000000fba5e738 100 0
   1: 0100007F:1F43 0100007F:9DEE 01 00000000:00000005 00:00000000 00000000     0        0 0 1 00000000a6a7cedd 20 0 0
10712: 0100007F:1F43 0100007F:9DEF 08 00000000:00000004 00:00000000 00000000 100000        0 0 1 000000003a7b07d7 20 4 28
   3: 0100007F:1F43 0100007F:9DF0 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 00000000a6a7cedd 20 0 0
   4: 0100007F:1F43 0100007F:9DF1 06 00000000:00000000 03:00000000 00000000     0        0 0 3 00000000a6a7cedd
   5: 0100007F:1F44 0100007F:9DF2 01 00000000:00000000 00:00000000 00000000     0        0 0 1 00000000a6a7cedd 20 0 0
"""


def test_of_the_kernels_table_only_clients_nobody_has_accepted_are_taken() -> None:
    assert accept_queue.parse(TABLE, {8003}) == [
        (("127.0.0.1", 8003), ("127.0.0.1", 40430), 5),
        (("127.0.0.1", 8003), ("127.0.0.1", 40431), 3),  # its FIN is no byte
    ]


# Hanging up


@keeps_clients
async def test_hanging_up_ends_the_connection_and_is_no_failure(
    api: httpx.AsyncClient, begin: Start, variant: Variant
) -> None:
    server = await begin(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"hello")
        id = (await row(api, client, bytes_in=5))["id"]
        async with asyncio.timeout(PATIENCE):
            assert (await api.delete(f"/connections/{id}")).status_code == 204
        assert (await api.delete(f"/connections/{id}")).status_code == 404
        await client.rest()
        assert await rows(api) == []
    assert server.exceptions == 0
    if variant.wire.clients == "one in all":
        await until(lambda: server.state is State.EXITED, "its only client is gone")
    else:
        async with await Client.to(server.spec.port) as other:
            await row(api, other, state="open")


@serves_many
async def test_a_client_that_never_reads_is_hung_up(api: httpx.AsyncClient, begin: Start, variant: Variant) -> None:
    server = await begin(variant.name, max_buffer=64 * 1024 * 1024)
    async with await Client.to(server.spec.port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"x" * 20_000_000 + b"quit\n")
        found = await row(api, client)
        async with asyncio.timeout(PATIENCE):
            assert (await api.delete(f"/connections/{found['id']}")).status_code == 204
        await until(lambda: not server.clients, "the server has let go")
        client.writer.transport.abort()
    assert server.exceptions == 0


async def test_the_second_is_let_in_when_the_first_is_hung_up(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port) as first:
        id = (await row(api, first, state="open"))["id"]
        async with await Client.to(server.spec.port) as second:
            await row(api, second, state="waiting")
            await api.delete(f"/connections/{id}")
            await second.ask(b"hello\nquit\n", b"hello\nquit\n")


async def test_two_who_hang_up_the_same_at_once_are_told_the_truth(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    async with await Client.to(server.spec.port) as client:
        id = (await row(api, client))["id"]
        answers = await asyncio.gather(*(api.delete(f"/connections/{id}") for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]


async def test_a_hang_up_waits_only_so_long_for_the_server(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "HANG_UP_SECONDS", 0.05)
    server = await begin(holds_one)
    async with await Client.to(server.spec.port) as client:
        id = (await row(api, client))["id"]
        assert (await api.delete(f"/connections/{id}")).status_code == 204
        assert await client.rest() == b""
        assert (await api.delete(f"/connections/{id}")).status_code == 404
        assert len(await rows(api)) == 1  # it still holds a descriptor


# Lists


async def test_pages_hold_everybody_once(api: httpx.AsyncClient, begin: Start) -> None:
    servers = [await begin("asyncio"), await begin("selectors"), await begin("blocking")]
    clients = [await Client.to(server.spec.port) for server in servers for _ in range(5)]
    while len(everybody := await rows(api)) < 15 or sum(one["state"] == "waiting" for one in everybody) != 4:
        await asyncio.sleep(0.01)
    for limit in (1, 4, 15, 1000):
        seen: list[str] = []
        after = None
        for _ in range(math.ceil(15 / limit)):
            query = {"limit": limit} | ({"after": after} if after else {})
            page = (await api.get("/connections", params=query)).json()
            assert len(page["items"]) <= limit
            seen += [one["id"] for one in page["items"]]
            after = page["next"]
        assert after is None  # as soon as nothing follows
        assert seen == [one["id"] for one in everybody]
    for server in servers:
        assert len(await rows(api, server=server.name)) == 5
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=-1", 422),
        ("limit=1000000000", 422),
        ("limit=ten", 422),
        ("after=made-up", 422),
        ("after=c2VydmVyczox", 422),  # of another list
        ("after=", 422),
        ("server=nobody", 404),
        ("server=", 404),
        ("after=Y29ubmVjdGlvbnM6OTk5OTk5", 422),  # as ours look but for the checksum
        ("sever=one", 422),
        ("limit=1", 200),
    ],
)
@pytest.mark.parametrize("path", ["/connections", "/exceptions", "/journal"])
async def test_bad_queries_are_refused_with_their_field(
    api: httpx.AsyncClient, path: str, query: str, status: int
) -> None:
    answer = await api.get(f"{path}?{query}")
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["field"] == query.partition("=")[0]


@pytest.mark.parametrize("id", ["1-999999", "2-1", "nobody", "1", "-1", "01-1", "1-01", "9" * 300, "1-1%00", "é"])
async def test_unknown_connections_are_unknown(api: httpx.AsyncClient, begin: Start, id: str) -> None:
    server = await begin("asyncio")
    async with await Client.to(server.spec.port) as client:
        assert (await row(api, client))["id"] == "1-1"
        for answer in (
            await api.get(f"/connections/{id}"),
            await api.delete(f"/connections/{id}"),
            await api.get(f"/connections/{id}/tap"),
        ):
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown")


class NoBooks:
    def saw(self, client: object, traffic: object) -> None: ...


def inside(roster: Roster, address: tuple[str, int], since: float) -> Inside:
    connection = Connection()
    connection.unwatched()
    connection.close()
    return roster.enter("one", connection, address, since, NoBooks())


def test_who_is_let_in_while_the_tables_are_read_does_not_wait_any_more() -> None:
    roster = Roster()
    here, there = ("127.0.0.1", 8003), ("127.0.0.1", 50001)
    early = inside(roster, ("127.0.0.1", 50000), since=1.0)
    roster.begin_look()
    late = inside(roster, there, since=3.0)
    gone = inside(roster, ("127.0.0.1", 50002), since=3.0)
    roster.leave(gone)
    peers = [("one", there), ("one", early.address), ("one", gone.address), ("two", there)]
    roster.saw_waiting([(server, here, peer, 0) for server, peer in peers], looked=2.0)
    assert {(waiter.server, waiter.address) for waiter in roster.waiters()} == {
        ("one", early.address),  # his port is used again
        ("two", there),
    }
    assert roster.find(roster.id(late.number)) is late


def test_a_waiter_keeps_his_number_from_look_to_look_and_when_he_enters() -> None:
    roster = Roster()
    here, there = ("127.0.0.1", 8003), ("127.0.0.1", 50001)
    for unread in (0, 5):
        roster.saw_waiting([("one", here, there, unread)], looked=1.0)
    (waiter,) = roster.waiters()
    assert (waiter.unread, roster.find(roster.id(waiter.number))) == (5, waiter)
    client = inside(roster, there, since=2.0)
    assert (client.number, roster.waiters()) == (waiter.number, [])


def test_who_left_the_queue_and_is_about_to_enter_keeps_his_number() -> None:
    roster = Roster()
    there = ("127.0.0.1", 50001)
    roster.saw_waiting([("one", ("127.0.0.1", 8003), there, 0)], looked=1.0)
    (waiter,) = roster.waiters()
    for looked in (2.0, 2.5):  # accepted by the kernel, and not yet announced by his thread
        roster.begin_look()
        roster.saw_waiting([], looked)
    assert roster.waiters() == []
    assert inside(roster, there, since=2.0).number == waiter.number
