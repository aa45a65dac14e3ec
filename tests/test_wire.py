"""What each variant does on the wire: one suite, over real TCP, for every file that is a variant."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from app.supervising.lifecycle import State
from servers import Options, Variant, step_5_selectors
from tests.conftest import VARIANTS, Start
from tests.helpers import Client, settled, until


def those(**traits: object) -> pytest.MarkDecorator:
    """Run once for each variant that declares these traits."""
    chosen = [v for v in VARIANTS.values() if all(getattr(v.wire, name) == value for name, value in traits.items())]
    assert chosen, f"no variant is {traits}"
    return pytest.mark.parametrize("variant", chosen, ids=lambda variant: variant.name)


every = pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
serves_many = pytest.mark.parametrize(
    "variant", [v for v in VARIANTS.values() if v.wire.clients != "one in all"], ids=lambda variant: variant.name
)
until_quit = those(answers="until quit")
echoes = those(answers="each chunk")
all_at_once = those(clients="all at once")


def asks(variant: Variant) -> tuple[bytes, bytes]:
    """Something to send, and the answer that this variant owes for it."""
    sent = b"hello\nquit\n" if variant.wire.answers == "until quit" else b"hello\n"
    return sent, variant.wire.prefix + sent


# Nothing


@those(answers="nothing")
async def test_a_client_is_closed_without_a_byte_and_the_server_ends(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        assert await client.rest() == b""
    await until(lambda: server.state is State.EXITED, "the server exits")
    assert server.tally.total == 1


async def test_accept_once_records_the_clients_address(
    start: Start, supervisor: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server = await start("accept-once")
    async with await Client.to(server.spec.port) as client:
        await client.rest()
        await until(lambda: server.state is State.EXITED, "the server exits")
        assert str(client.socket.getsockname()[1]) in caplog.text


# Until quit


@until_quit
@pytest.mark.parametrize(
    "chunks",
    [
        [b"hello\nquit\n"],
        [b"hello\nqu", b"it\n"],
        [b"h", b"e", b"y", b"q", b"u", b"i", b"t", b"\n"],
        [b"xquit\n"],
        [b"quit\nmore", b"quit\n"],
        [b"quit\r\n", b"quit\n"],
    ],
    ids=lambda chunks: b"|".join(chunks).decode("unicode_escape").encode("unicode_escape").decode(),
)
async def test_everything_comes_back_after_quit(start: Start, variant: Variant, chunks: list[bytes]) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        sent = 0
        for chunk in chunks:
            await client.send(chunk)
            sent += len(chunk)
            await until(lambda count=sent: server.traffic.bytes_in >= count, "the chunk arrives by itself")
        assert await client.receive(sent) == b"".join(chunks)


@until_quit
async def test_nothing_comes_back_before_quit(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"quit\nmore")
        await until(lambda: server.traffic.bytes_in == 9, "the bytes arrive")
        assert server.traffic.bytes_out == 0
        await client.ask(b"quit\n", b"quit\nmorequit\n")


@until_quit
async def test_a_half_closed_client_gets_what_was_collected(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"abc")
        await client.half_close()
        assert await client.rest() == b"abc"


@those(answers="until quit", hangs_up=True)
async def test_it_hangs_up_after_the_answer(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"hello\nquit\n")
        assert await client.rest() == b"hello\nquit\n"


@those(answers="until quit", hangs_up=False)
async def test_it_stays_open_with_an_empty_buffer_after_the_answer(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"one\nquit\n", b"one\nquit\n")
        await client.ask(b"two\nquit\n", b"two\nquit\n")
        await client.half_close()
        assert await client.rest() == b""


@until_quit
async def test_a_client_that_sends_too_much_is_closed_and_nothing_else_suffers(start: Start, variant: Variant) -> None:
    server = await start(variant.name, max_buffer=1000)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"x" * 1001)
        assert await client.rest() == b""
    await until(lambda: server.exceptions == 1, "the exception is seen")
    if variant.wire.clients == "one in all":
        await until(lambda: server.state is State.EXITED, "its only client is served")
    else:
        async with await Client.to(server.spec.port) as other:
            await other.ask(b"quit\n", b"quit\n")
        assert server.state is State.RUNNING


@until_quit
async def test_a_long_answer_that_ends_in_time_is_no_breach(start: Start, variant: Variant) -> None:
    server = await start(variant.name, max_buffer=1000)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x" * 1200 + b"quit\n", b"x" * 1200 + b"quit\n")


# Each chunk


@echoes
async def test_each_chunk_comes_back(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        for chunk in (b"hi\n", b"\x00\xff", b"quit\n"):
            await client.ask(chunk, variant.wire.prefix + chunk)


@echoes
async def test_it_closes_at_the_clients_end(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.send(b"last words")
        await client.half_close()
        assert await client.rest() == variant.wire.prefix + b"last words"


@echoes
async def test_chunks_are_as_large_as_recv_size(start: Start, variant: Variant) -> None:
    server = await start(variant.name, recv_size=4)
    async with await Client.to(server.spec.port) as client:
        prefix = variant.wire.prefix
        await client.ask(b"abcdefgh", prefix + b"abcd" + prefix + b"efgh")


@those(boom=True)
async def test_boom_closes_that_client_only(start: Start, variant: Variant, caplog: pytest.LogCaptureFixture) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as careful, await Client.to(server.spec.port) as careless:
        await careless.ask(b"hi\n", b"hi\n")
        await careless.send(b"boom\n")
        assert await careless.rest() == b""
        await careful.ask(b"still here\n", b"still here\n")
    assert server.state is State.RUNNING
    assert server.exceptions == 1
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.name.startswith("servers.")  # the variant itself contained it
    assert "RuntimeError: boom" in caplog.text


@those(boom=True)
async def test_boom_within_a_chunk_is_no_boom(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hi\nboom\n", b"hi\nboom\n")
    assert server.exceptions == 0


@those(answers="each chunk", boom=False)
async def test_without_boom_it_is_a_chunk_like_any_other(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"boom\n", variant.wire.prefix + b"boom\n")


def test_selectors_keeps_an_answer_that_finds_no_room() -> None:
    class Full(socket.socket):
        def recv(self, *arguments: Any) -> bytes:
            return b"hi"

        def send(self, *arguments: Any) -> int:
            raise BlockingIOError

    with Full() as connection:
        assert step_5_selectors.advance(connection, b"", Options()) == b"You Got hi"


# How many clients


@those(clients="one in all")
async def test_the_server_ends_after_its_only_client(start: Start, variant: Variant) -> None:
    server = await start(variant.name, restart="on-failure")
    async with await Client.to(server.spec.port) as client:
        await client.half_close()
        await client.rest()
    await until(lambda: server.state is State.EXITED, "the server exits")
    assert server.exit is not None
    assert server.exit.reason == "returned"


@those(clients="one at a time")
async def test_a_second_client_waits_for_the_first(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as first, await Client.to(server.spec.port) as second:
        await second.send(b"me too\nquit\n")
        await first.send(b"wait")
        await until(lambda: (server.waiting, server.tally.open) == (1, 1), "the second stands in the accept queue")
        await first.send(b"quit\n")
        assert await first.rest() == b"waitquit\n"
        assert await second.rest() == b"me too\nquit\n"
        await until(lambda: (server.waiting, server.tally.open) == (0, 0), "both are gone")


@all_at_once
async def test_a_second_client_does_not_wait_for_the_first(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    sent, answer = asks(variant)
    async with await Client.to(server.spec.port) as first, await Client.to(server.spec.port) as second:
        await first.send(b"silent ")
        await second.ask(sent, answer)
        assert server.waiting == 0


# Clients that misbehave


@serves_many
async def test_clients_that_reset_or_leave_at_once_hurt_nobody(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    sent, answer = asks(variant)
    for _ in range(3):
        careless = await Client.to(server.spec.port)
        await careless.send(sent)
        await careless.reset()
    for leave in (Client.close, Client.reset):
        await leave(await Client.to(server.spec.port))
    async with await Client.to(server.spec.port) as other:
        await other.ask(sent, answer)
    await until(lambda: server.tally.open == 0, "everybody is gone")
    assert server.state is State.RUNNING
    assert server.restarts == 0


@all_at_once
async def test_clients_that_dawdle_stall_only_themselves(start: Start, variant: Variant) -> None:
    server = await start(variant.name, max_buffer=67_108_864)
    sent, answer = asks(variant)
    async with (
        await Client.to(server.spec.port),
        await Client.to(server.spec.port) as slow,
        await Client.to(server.spec.port) as stubborn,
        await Client.to(server.spec.port) as other,
    ):
        for letter in (b"q", b"u", b"i", b"t"):
            await slow.send(letter)
        stubborn.writer.transport.pause_reading()
        flood = b"x" * 30_000_000 + b"quit\n"
        stubborn.writer.write(flood)
        await until(lambda: server.traffic.bytes_out > 100_000, "the server answers")
        await settled(lambda: server.traffic)
        await other.ask(sent, answer)
        # Whatever could not be sent at once is not lost: it comes when the client reads.
        stubborn.writer.transport.resume_reading()
        stubborn.writer.write_eof()
        received = await stubborn.rest()
    assert (received.replace(variant.wire.prefix, b"") if variant.wire.prefix else received) == flood


@all_at_once
async def test_a_large_message_comes_back_whole(start: Start, variant: Variant) -> None:
    server = await start(variant.name, max_buffer=67_108_864)
    message = bytes(range(256)) * 20_000 + b"quit\n"
    async with await Client.to(server.spec.port) as client:
        client.writer.write(message)
        client.writer.write_eof()
        received = await client.rest()
    assert (received.replace(variant.wire.prefix, b"") if variant.wire.prefix else received) == message
