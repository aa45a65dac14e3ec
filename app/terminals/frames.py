"""WebSocket frames (RFC 6455, 5.2) cut out of what a client sends, and headed for what is sent to it.

Almost all that a terminal moves is binary messages in one frame. Their payload is taken out here as it comes, before
the frame is whole, and nothing is kept of it. Every other frame is kept until it is whole and given on as it is, to
the full implementation; so that the cutter is at the beginning of a frame whenever bytes pass it by.
"""

from __future__ import annotations

from collections.abc import Callable

from websockets.speedups import apply_mask

MOST = 1_048_576
"""Bytes of a message."""

HEAD = 10
"""Bytes of the longest header that is sent."""

TEXT, BINARY = 0x81, 0x82
"""The first byte of a message in one frame."""

_MASKED, _SIZE, _FINAL, _OPCODE = 0x80, 0x7F, 0x80, 0x0F
_HEADER = [2 + {126: 2, 127: 8}.get(second & _SIZE, 0) + (4 if second & _MASKED else 0) for second in range(256)]
"""Length of a header, by its second byte."""


def head(first: int, size: int) -> bytes:
    """The header of a frame that is sent, in one piece; ``first`` is ``TEXT`` or ``BINARY``."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 0xFF))
    return bytes((first, 127)) + size.to_bytes(8, "big")


class Inbox:
    """A buffer with room for a frame's header before its payload: what was read into ``payload`` is sent as one frame,
    without being put together."""

    def __init__(self, size: int) -> None:
        self._buffer = memoryview(bytearray(HEAD + size))
        self.payload = self._buffer[HEAD:]

    def frame(self, count: int) -> bytes:
        """The first ``count`` bytes of the payload as a binary frame."""
        header = head(BINARY, count)
        start = HEAD - len(header)
        self._buffer[start:HEAD] = header
        return bytes(self._buffer[start : HEAD + count])


class Cutter:
    """``piece`` is given the payload of binary messages; ``frame`` every other frame, still masked, or the header alone
    if what it announces is longer than a message may be. Once that returns False nothing is cut any more."""

    def __init__(self, piece: Callable[[bytes], object], frame: Callable[[bytes], bool]) -> None:
        self._piece = piece
        self._frame = frame
        self._left = 0  # bytes to come of the payload that is being passed on
        self._mask = b""
        self._fragmented = False
        self._held = bytearray()
        self._wanted = 0

    def feed(self, data: memoryview) -> None:
        """Take bytes as they come. ``data`` need not stay as it is after the call."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data, self._held = memoryview(self._held), bytearray()
        at, end = 0, len(data)
        while at < end:
            if self._left:
                stop = min(at + self._left, end)
                self._left -= stop - at
                mask = self._mask
                if self._left and (turn := (stop - at) % 4):
                    self._mask = mask[turn:] + mask[:turn]
                self._piece(apply_mask(data[at:stop], mask))
                at = stop
                continue
            start = at + (_HEADER[data[at + 1]] if at + 1 < end else 2)
            if start > end:
                self._hold(data[at:], start - at)
                return
            first, second = data[at], data[at + 1]
            size = second & _SIZE
            if size > 125:
                size = int.from_bytes(data[at + 2 : at + (4 if size == 126 else 10)], "big")
            if first == BINARY and second & _MASKED and size <= MOST and not self._fragmented:
                self._mask, self._left = bytes(data[start - 4 : start]), size
                at = start
                continue
            stop = start if size > MOST else start + size
            if stop > end:
                self._hold(data[at:], stop - at)
                return
            if first & _OPCODE < 8:
                self._fragmented = not first & _FINAL
            if not self._frame(bytes(data[at:stop])):
                return
            at = stop

    def _hold(self, data: memoryview, wanted: int) -> None:
        self._held = bytearray(data)
        self._wanted = wanted
