"""What a client sends, cut into frames however the network cuts it."""

from __future__ import annotations

import os
import struct

import pytest
from websockets.frames import Frame, Opcode

from app.terminals.frames import MOST, Cutter, head
from tests.bridged import masked

BINARY, TEXT, CONT, PING, CLOSE = 0x82, 0x81, 0x80, 0x89, 0x88
MORE = 0x7F  # without the final bit


class Seen:
    """What a cutter makes of bytes, with payloads put together."""

    def __init__(self, frames: int = 1000) -> None:
        self.all: list[tuple[str, bytes]] = []
        self._frames = frames
        self.cutter = Cutter(self._piece, self._frame)

    def _piece(self, data: bytes) -> None:
        if self.all and self.all[-1][0] == "piece":
            data = self.all.pop()[1] + data
        self.all.append(("piece", data))

    def _frame(self, data: bytes) -> bool:
        self.all.append(("frame", data))
        self._frames -= 1
        return self._frames > 0

    def feed(self, *parts: bytes) -> list[tuple[str, bytes]]:
        for part in parts:
            self.cutter.feed(memoryview(bytearray(part)))
        return self.all


def stream() -> tuple[bytes, list[tuple[str, bytes]]]:
    """A bit of everything, and what should be made of it."""
    ping, close = masked(b"are you there", PING), masked(b"\x03\xe8", CLOSE)
    first, between, last = masked(b"in two", BINARY & MORE), masked(b"", PING), masked(b" parts", CONT)
    text = masked(b"t" * 200, TEXT)
    long = bytes(range(256)) * 2
    wire = b"".join(
        [
            masked(b"abc"),
            masked(b""),
            masked(long),
            ping,
            first,
            between,
            last,
            text,
            masked(b"d"),
            masked(b"ef"),
            close,
        ]
    )
    wanted = [("piece", b"abc" + long), *(("frame", one) for one in (ping, first, between, last, text))]
    return wire, [*wanted, ("piece", b"def"), ("frame", close)]


def test_a_stream_cut_anywhere_gives_the_same() -> None:
    wire, wanted = stream()
    for at in range(len(wire) + 1):
        assert Seen().feed(wire[:at], wire[at:]) == wanted, at


def test_a_stream_that_comes_byte_by_byte_or_in_pieces_of_any_size_gives_the_same() -> None:
    wire, wanted = stream()
    for size in range(1, 40):
        assert Seen().feed(*(wire[at : at + size] for at in range(0, len(wire), size))) == wanted, size


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, MOST])
def test_every_length_comes_through(size: int) -> None:
    payload = os.urandom(size)
    wire = masked(payload) + masked(b"end")
    assert Seen().feed(wire) == [("piece", payload + b"end")]
    assert Seen().feed(*(wire[at : at + 65537] for at in range(0, len(wire), 65537))) == [("piece", payload + b"end")]


def test_a_binary_message_is_passed_on_before_it_is_whole_and_nothing_of_it_is_kept() -> None:
    wire, seen = masked(b"x" * 1000), Seen()
    assert seen.feed(wire[:508]) == [("piece", b"x" * 500)]
    assert not seen.cutter._held


@pytest.mark.parametrize("first", [BINARY, BINARY & MORE, TEXT, PING])
def test_of_a_frame_that_is_too_long_the_header_is_judged(first: int) -> None:
    header = struct.pack("!BBQ", first, 0xFF, MOST + 1) + b"mask"
    assert Seen(frames=1).feed(header + b"x" * 5000) == [("frame", header)]


@pytest.mark.parametrize("wire", [b"\x82\x03abc", b"\xc2\x83maskabc", b"\x8f\x83maskabc"])
def test_what_is_not_masked_or_makes_no_sense_is_for_others_to_judge(wire: bytes) -> None:
    assert Seen(frames=1).feed(wire) == [("frame", wire)]


def test_a_message_amid_the_parts_of_another_is_for_others_to_judge() -> None:
    first, second = masked(b"one", TEXT & MORE), masked(b"two")
    assert Seen().feed(first + second) == [("frame", first), ("frame", second)]


def test_nothing_is_cut_after_the_end() -> None:
    close = masked(b"", CLOSE)
    assert Seen(frames=1).feed(close + masked(b"abc")) == [("frame", close)]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, MOST])
def test_the_headers_that_are_sent_are_those_of_the_library(size: int) -> None:
    whole = Frame(Opcode.BINARY, b"x" * size).serialize(mask=False)
    assert whole == head(0x82, size) + b"x" * size
